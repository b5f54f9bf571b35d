"""Pictures to learn enlarging from: faces, photographs, and frames of videos.

What judges the network is left out by name: the videos that the benchmarks are made of, and Set5.
Videos are compressed, so their frames are reduced until that is hardly seen.
"""

from pathlib import Path

import av
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

import degrade

# Parts of the names of what judges.
JUDGES = ("carphone", "foreman", "bikes")

# Frames that are taken from each video, evenly.
FRAMES = 24

# Side that is left of a large photograph, and of a frame: enough to hide how it was compressed.
PHOTOGRAPH, FRAME = 900, 0.5

# How often a sample is of each kind.
SHARES = {"frames": 0.35, "photographs": 0.15, "packaged pictures": 0.3, "faces": 0.2}

# Crop of the large picture; the network sees half of it.
CROP = 112


class Stills(Dataset):
    """Sample number n is always the same: a small picture and the large one, uint8."""

    def __init__(self, media: Path, faces: Path, seed: int, count: int):
        self.sets = {
            "frames": list(_frames(media / "videos")),
            "photographs": list(_photographs(media / "faces")),
            "packaged pictures": list(_packaged()),
            "faces": list(map(_read, sorted(faces.glob("sfhq_*.webp")))),
        }
        self.seed, self.count = seed, count
        self._share(SHARES)

    def __str__(self):
        return ", ".join(f"{len(pictures)} {name}" for name, pictures in self.sets.items())

    def _share(self, shares: dict) -> None:
        """Of the kinds of which there are any."""
        self.names = [name for name, pictures in self.sets.items() if pictures]
        self.shares = np.array([shares[name] for name in self.names])
        self.shares /= self.shares.sum()

    def __len__(self):
        return self.count

    def __getitem__(self, number: int):
        rng = np.random.default_rng((self.seed, number))
        large = self._crop(rng, CROP)
        how = rng.choice([Image.BICUBIC, Image.BOX, Image.LANCZOS, Image.BILINEAR], p=(0.65, 0.15, 0.1, 0.1))
        small = degrade.resized(large, CROP // 2, int(how))
        if rng.random() < 0.2:
            small = degrade.noisy(small, rng.uniform(0, 3), rng, rng.random() < 0.5)
        if rng.random() < 0.25:
            small = degrade.jpeg(small, int(rng.uniform(60, 96)))
        turns, mirrored = rng.integers(4), rng.random() < 0.5
        pair = [np.rot90(picture[:, ::-1] if mirrored else picture, turns) for picture in (small, large)]
        return tuple(np.ascontiguousarray(picture.transpose(2, 0, 1)) for picture in pair)

    def _crop(self, rng, most: int):
        """Of several places the one with the most in it, as skies teach nothing."""
        pictures = self.sets[self.names[rng.choice(len(self.names), p=self.shares)]]
        picture = pictures[rng.integers(len(pictures))]
        height, width = (min(most, side // 2 * 2) for side in picture.shape[:2])
        best, busiest = None, -1.0
        for _ in range(rng.integers(1, 4)):
            top, left = (rng.integers(0, side - part + 1) for side, part in zip(picture.shape, (height, width)))
            crop = picture[top : top + height, left : left + width]
            if crop.std() > busiest:
                best, busiest = crop, crop.std()
        return np.ascontiguousarray(best)


def _frames(folder: Path):
    for path in sorted(folder.rglob("*.m*")):
        if any(name in path.name for name in JUDGES):
            continue
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            frames = list(_some(video.decode(stream), stream.frames or 300))
        for frame in frames:
            picture = Image.fromarray(frame)
            size = [max(CROP, round(side * FRAME)) for side in picture.size]
            yield np.asarray(picture.resize(size, Image.LANCZOS))


def _some(frames, count: int):
    every = max(1, count // FRAMES)
    for number, frame in enumerate(frames):
        if number % every == every // 2:
            yield frame.to_ndarray(format="rgb24")


def _read(path: Path):
    return np.asarray(Image.open(path).convert("RGB"))


def _photographs(folder: Path):
    for path in sorted(folder.rglob("*.[jp][pn]g")):
        picture = Image.open(path).convert("RGB")
        yield smaller(picture, min(1.0, PHOTOGRAPH / min(picture.size)))


def smaller(picture: Image.Image, factor: float):
    return np.asarray(picture.resize([round(side * factor) for side in picture.size], Image.LANCZOS))


def _packaged():
    """The photographs that scikit-image and scikit-learn carry along, where they are installed."""
    for package, pattern in (("skimage", "data/*.*"), ("sklearn", "datasets/images/*.jpg")):
        try:
            folder = Path(__import__(package).__file__).parent
        except ImportError:
            continue
        for path in sorted(folder.glob(pattern)):
            try:
                picture = _read(path)
            except OSError:
                continue
            if min(picture.shape[:2]) >= CROP:
                yield picture
