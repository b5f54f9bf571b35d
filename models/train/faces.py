"""The faces that are trained on and judged with: read, weeded, and kept apart by person.

The folder holds aligned 256x256 faces (FFHQ template) with an INDEX.tsv (file, set, colour,
original), and in `small` faces of 128x128. Everything is decoded once into one array in the
work folder, which every process then maps.
"""

import csv
import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

import degrade
from yunet import Detector

# How many faces judge, and how many of them are synthetic; of small sets at most a tenth does.
HELD_OUT, HELD_OUT_SYNTHETIC = 120, 30

# Five points of the FFHQ template in a picture of 256: eyes, nose, corners of the mouth.
TEMPLATE = np.array([(96.49, 119.97), (159.45, 120.10), (128.32, 157.01), (100.63, 185.71), (156.54, 185.58)])

# A face surer than this is one; a second one surer than that makes it a picture of two.
FACE, SECOND_FACE = 0.6, 0.5

# Mean distance of the points from the template, in distances between the eyes. Three-quarter
# views keep below it, profiles and mistakes do not.
ASTRAY = 0.2

# The share of grey pictures with the most energy in the finest detail: engravings and halftones.
ENGRAVED = 0.04

# Two pictures of 16x16 that correlate more than this are the same picture.
TWINS = 0.975


class Faces:
    """Arrays of faces and what is known of each."""

    def __init__(self, folder: Path, work: Path, detector: Path | None, log=print):
        self.large = _decoded(folder, work, 256)
        self.small = _decoded(folder / "small", work, 128)
        large, small = _index(folder), _index(folder / "small")
        good = _good(self.large, large, work, detector)
        self.judges = _held_out(self.large, large, good)
        people = {large[at]["person"] for at in self.judges}
        marks = np.stack([_mark(self.large[at]) for at in self.judges])

        def free(at, array, rows):
            return rows[at]["person"] not in people and (marks @ _mark(array[at])).max() < TWINS

        self.large_kept = [at for at in range(len(large)) if good[at] and free(at, self.large, large)]
        good = _good(self.small, small, work, detector)
        self.small_kept = [at for at in range(len(small)) if good[at] and free(at, self.small, small)]
        self.large_weight = _weights(large, self.large_kept)
        self.small_weight = _weights(small, self.small_kept)
        log(f"faces: {len(self.large_kept)} of {len(large)} and {len(self.small_kept)} of {len(small)} small ones, "
            f"{len(self.judges)} held out")

    def judge(self, number: int) -> np.ndarray:
        return np.array(self.large[self.judges[number]])


class Samples(Dataset):
    """Sample number n is always the same, in whichever process: degraded, truth, and whether the truth is sharp.

    Every fourth sample is of the small set, whose truth holds no detail finer than two pixels. With `frames`
    of 2, two frames of a video of the same face follow one another, the second moved by `moved` pixels.
    """

    SMALL_EVERY = 4
    MOVED = 4

    def __init__(self, faces: Faces, seed: int, count: int, frames: int = 1, sharp: bool = False):
        self.faces, self.seed, self.count = faces, seed, count
        self.frames, self.sharp = frames, sharp

    def __len__(self):
        return self.count

    def __getitem__(self, number: int):
        rng = np.random.default_rng((self.seed, number))
        truth, sharp = self._face(number, rng)
        truth = _lit(truth[:, ::-1] if rng.random() < 0.5 else truth, rng)
        truths, moved = [truth], (0, 0)
        if self.frames == 2:
            moved = tuple(int(part) for part in rng.integers(-self.MOVED, self.MOVED + 1, 2) * (2 if sharp else 1))
            step = moved if sharp else (moved[0], moved[1])
            truths.append(np.roll(truth, step, (0, 1)))
        given = degrade.harm_alike(truths, rng, np.random.default_rng((self.seed, number, 1)))
        if not sharp:
            truths = [truth.repeat(2, 0).repeat(2, 1) for truth in truths]
            moved = (2 * moved[0], 2 * moved[1])
        given, truth = (np.stack(frames).transpose(0, 3, 1, 2) for frames in (given, truths))
        return given, truth, np.float32(sharp), np.array(moved)

    def _face(self, number: int, rng):
        faces = self.faces
        if not self.sharp and number % self.SMALL_EVERY == 0 and len(faces.small_kept):
            return np.array(faces.small[rng.choice(faces.small_kept, p=faces.small_weight)]), False
        return np.array(faces.large[rng.choice(faces.large_kept, p=faces.large_weight)]), True


def _lit(truth: np.ndarray, rng) -> np.ndarray:
    """Other light, and now and then no colours."""
    if rng.random() < 0.1:
        truth = np.repeat(cv2.cvtColor(np.ascontiguousarray(truth), cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < 0.3:
        curve = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.25)) * rng.uniform(0.7, 1.0) + rng.uniform(0, 0.08)
        truth = np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)[truth]
    return np.ascontiguousarray(truth)


def _index(folder: Path):
    with open(folder / "INDEX.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        row["person"] = _person(row)
    return rows


def _person(row) -> str:
    """Portraits are named by the number of the person; figures of synthetic faces vary one theme."""
    stem = Path(row["original"]).stem
    if row["set"] == "voteview":
        return "voteview" + re.sub(r"\D", "", stem).lstrip("0")
    return row["set"] + re.sub(r"_\d+_\d+$", "", stem)


def _decoded(folder: Path, work: Path, side: int):
    rows = _index(folder)
    names = "".join(row["file"] for row in rows)
    path = work / f"faces-{side}-{hashlib.sha256(names.encode()).hexdigest()[:12]}.npy"
    if not path.exists():
        pictures = np.stack([np.asarray(Image.open(folder / row["file"]).convert("RGB")) for row in rows])
        part = path.with_suffix(".part.npy")
        np.save(part, pictures)
        part.rename(path)
    return np.load(path, mmap_mode="r")


def _good(pictures, rows, work: Path, detector: Path | None) -> np.ndarray:
    """Whether each is one face, where the template has it, and no engraving; without a detector all are."""
    if detector is None:
        return np.ones(len(rows), bool)
    path = work / f"good-{len(rows)}.npy"
    if path.exists():
        return np.load(path)
    yunet = Detector(str(detector))
    good = np.array([_one_face(yunet.faces(np.array(picture)), len(picture)) for picture in pictures])
    finest = np.array([_finest(picture) for picture in pictures])
    grey = np.array([row["colour"] == "grey" for row in rows])
    if grey.any():
        good &= ~(grey & (finest > np.quantile(finest[grey], 1 - ENGRAVED)))
    np.save(path, good)
    return good


def _one_face(found, side: int) -> bool:
    if not found or found[0][0] < FACE or (len(found) > 1 and found[1][0] > SECOND_FACE):
        return False
    template = TEMPLATE * (side / 256)
    eyes = np.linalg.norm(template[1] - template[0])
    return np.linalg.norm(found[0][3] - template, axis=1).mean() < ASTRAY * eyes


def _finest(picture) -> float:
    """Energy of the Laplacian in the energy of the picture."""
    grey = cv2.cvtColor(np.array(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean() / (grey.std() + 5))


def _held_out(pictures, rows, good):
    """Judges: in an order that no one chose, one of a person, synthetic ones from figures of single faces."""
    most = min(HELD_OUT, len(rows) // 10)
    synthetic_most = most * HELD_OUT_SYNTHETIC // HELD_OUT
    order = sorted(np.flatnonzero(good), key=lambda at: hashlib.sha256(rows[at]["file"].encode()).digest())
    chosen, people = [], set()
    for synthetic, count in ((True, synthetic_most), (False, most - synthetic_most)):
        taken = 0
        for at in order:
            row = rows[at]
            single = row["original"].startswith("sample") if synthetic else True
            if taken < count and (row["set"] == "sfhq") == synthetic and single and (synthetic or row["person"] not in people):
                chosen.append(at)
                people.add(row["person"])
                taken += 1
    return chosen


def _mark(picture) -> np.ndarray:
    """A picture of 16x16 without its mean, of length 1: its product with that of a twin is 1."""
    tiny = cv2.resize(cv2.cvtColor(np.array(picture), cv2.COLOR_RGB2GRAY), (16, 16), interpolation=cv2.INTER_AREA)
    tiny = tiny.astype(np.float32).ravel()
    tiny -= tiny.mean()
    return tiny / (np.linalg.norm(tiny) + 1e-6)


def _weights(rows, kept) -> np.ndarray:
    """Colour pictures twice as often as grey ones."""
    weights = np.array([2.0 if rows[at]["colour"] == "colour" else 1.0 for at in kept])
    return weights / weights.sum() if len(kept) else weights
