"""Pictures to learn restoring from: the stills, reduced, and harmed as old and compressed video harms them."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import degrade
from stills import Stills, smaller

# How often a sample is of each kind.
SHARES = {"frames": 0.2, "photographs": 0.1, "packaged pictures": 0.2, "faces": 0.15, "landscapes": 0.35}

# The share that is left of a landscape's side: enough to hide how it was compressed.
LANDSCAPE = 0.7

# Side of what is harmed as a whole (a coder wants to see more than a crop), of the crops that are cut out
# of it, which the network sees, and how many these are.
WHOLE, CROP, CROPS = 128, 64, 4

# How often a picture is hardly harmed: what is good must not become worse.
MILD = 0.3

# How often it is without colour.
GREY = 0.15

# What red, green and blue count for in brightness (BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Footage(Stills):
    """Sample number n is always the same: CROPS small pictures and the large ones, uint8."""

    def __init__(self, media: Path, faces: Path, landscapes: Path, seed: int, count: int):
        super().__init__(media, faces, seed, count)
        self.sets["landscapes"] = list(_landscapes(landscapes))
        self._share(SHARES)

    def __getitem__(self, number: int):
        rng = np.random.default_rng((self.seed, number))
        grey = rng.random() < GREY
        large = self._whole(rng, grey)
        how = rng.choice([Image.BICUBIC, Image.BOX, Image.LANCZOS, Image.BILINEAR], p=(0.6, 0.2, 0.1, 0.1))
        size = (large.shape[1] // 2, large.shape[0] // 2)
        small = harmed(np.asarray(Image.fromarray(large).resize(size, int(how))), rng)
        if grey and rng.random() < 0.7:
            small = _grey(small)  # without the colours of noise, too
        smalls, larges = [], []
        for _ in range(CROPS):
            top, left = (int(rng.integers(0, side - CROP + 1)) for side in small.shape[:2])
            pair = small[top : top + CROP, left : left + CROP], large[2 * top : 2 * (top + CROP), 2 * left : 2 * (left + CROP)]
            for picture, crops in zip(pair, (smalls, larges)):
                crops.append(picture.transpose(2, 0, 1))
        return np.stack(smalls), np.stack(larges)

    def _whole(self, rng, grey: bool):
        """Turned and mirrored before it is harmed: blocks and lines lie as they do in video."""
        picture = self._crop(rng, 2 * WHOLE)
        picture = np.rot90(picture[:, ::-1] if rng.random() < 0.5 else picture, rng.integers(4))
        if grey:
            picture = _grey(picture)
        if rng.random() < 0.25:  # faded, or dark
            picture = (picture - 128.0) * rng.uniform(0.4, 1.0) + 128 + rng.uniform(-50, 30)
            picture = np.clip(np.round(picture), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(picture)


def _landscapes(folder: Path):
    for path in sorted(folder.glob("*.[jp][pn]g")):
        yield smaller(Image.open(path).convert("RGB"), LANDSCAPE)


def _grey(picture):
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L").convert("RGB"))


def harmed(small: np.ndarray, rng) -> np.ndarray:
    """In the order in which it happens to video: the lens, the film or sensor, the tape, the coder, another coder."""
    if rng.random() < MILD:
        if rng.random() < 0.3:
            small = degrade.noisy(small, rng.uniform(0, 3), rng, rng.random() < 0.5)
        if rng.random() < 0.35:
            small = degrade.jpeg(small, int(rng.uniform(70, 97)))
        elif rng.random() < 0.4:
            small = _coded(small, rng.integers(16, 24), rng)
        return small
    if rng.random() < 0.3:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.75:
        small = _noisy(small, min(45.0, rng.gamma(2.0, 5.0)), rng)
    if rng.random() < 0.08:
        small = degrade.tape(rng)(small, rng)
    for _ in range(rng.choice(3, p=(0.45, 0.45, 0.1))):
        if rng.random() < 0.35:
            small = degrade.jpeg(small, int(rng.uniform(20, 85)))
        else:
            small = _coded(small, rng.integers(20, 38), rng)
    return small


def _noisy(small: np.ndarray, sigma: float, rng) -> np.ndarray:
    """From fine noise of each colour of its own to soft grain of all alike, and patches of colour, as tape has them."""
    shared = rng.choice([0.0, 1.0, rng.random()], p=(0.25, 0.35, 0.4))
    grey, colours = (rng.standard_normal((*small.shape[:2], count), np.float32) for count in (1, 3))
    noise = shared**0.5 * grey + (1 - shared) ** 0.5 * colours
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 1.0))
    noise *= sigma / noise.std()
    if rng.random() < 0.15:
        patches = cv2.GaussianBlur(rng.standard_normal(small.shape, np.float32), (0, 0), rng.uniform(0.5, 1.5))
        patches -= (patches @ LUMA)[..., None]  # of the same brightness
        noise += min(12.0, rng.gamma(2.0, 3.0)) / patches.std() * patches
    return np.clip(np.round(small + noise), 0, 255).astype(np.uint8)


def _coded(small: np.ndarray, rate, rng) -> np.ndarray:
    codec = rng.choice(["libx264", "mpeg2video", "mpeg4"], p=(0.6, 0.2, 0.2))
    return degrade.video(small, str(codec), int(rate), rng.integers(-3, 4, 2))
