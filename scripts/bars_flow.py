#!/usr/bin/env python3
"""Our optical flow beside OpenCV's, with the same settings, in turn: error and time.

    scripts/bars_flow.py [--flow PROGRAM] [--media FOLDER] [--rounds N]

Error: mean end-point error on the Middlebury pairs (FOLDER/flow/middlebury), luma BT.601 of both
pictures, pixels of unknown flow left out; also with noise added, which has no bar. Time: one core,
640x360, frames of a clip (FOLDER/videos). Exits with 1 where a bar is missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

# Finest level, stride, steps; every preset has five iterations of refinement.
PRESETS = {"fast": (1, 4, 16), "medium": (1, 3, 25), "quality": (0, 3, 25)}
# Largest ratios to OpenCV that are accepted.
MOST_ERROR = {"medium": 1.05}
MOST_TIME = {"fast": 1.0, "medium": 1.0}
NOISE = 12


class Ours:
    """The example program, kept running so that both take turns in one run."""

    def __init__(self, program, folder):
        self.folder = Path(folder)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def flow(self, preset, pair):
        height, width = pair[0].shape
        names = [self.folder / name for name in ("from.luma", "to.luma", "flow.floats")]
        for name, picture in zip(names, pair):
            picture.tofile(name)
        print(preset, width, height, *names, file=self.process.stdin, flush=True)
        seconds = float(self.process.stdout.readline()) / 1e3
        return np.fromfile(names[2], "<f4").reshape(2, height, width).transpose(1, 2, 0), seconds


def opencv(preset, pair, made={}):
    if preset not in made:
        dis = made[preset] = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        finest, stride, steps = PRESETS[preset]
        dis.setFinestScale(finest)
        dis.setPatchStride(stride)
        dis.setGradientDescentIterations(steps)
        dis.setVariationalRefinementIterations(5)
    start = time.perf_counter()
    flow = made[preset].calc(*pair, None)
    return flow, time.perf_counter() - start


def luma(picture):
    """BT.601 of a picture in OpenCV's order of channels."""
    return np.rint(picture.astype(np.float64) @ [0.114, 0.587, 0.299]).astype(np.uint8)


def noisy(picture, seed):
    noise = NOISE * np.random.default_rng(seed).standard_normal(picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def truth(path):
    data = path.read_bytes()
    width, height = np.frombuffer(data, "<i4", 2, 4)
    return np.frombuffer(data, "<f4", width * height * 2, 12).reshape(height, width, 2)


def errors(ours, folder):
    """A row for each preset and pair: OpenCV's error, ours."""
    table = {}
    for path in sorted(folder.glob("*_flow10.flo")):
        name = path.name.removesuffix("_flow10.flo")
        clean = [luma(cv2.imread(str(folder / f"{name}_frame{i}.png"))) for i in (10, 11)]
        true = truth(path)
        known = (np.abs(true) < 1e9).all(2)
        kinds = {"": clean, f", noise {NOISE}": [noisy(p, i) for i, p in enumerate(clean)]}
        for preset in PRESETS:
            for kind, pair in kinds.items():
                flows = opencv(preset, pair)[0], ours.flow(preset, pair)[0]
                row = [float(np.linalg.norm(flow - true, axis=2)[known].mean()) for flow in flows]
                table.setdefault(preset + kind, {})[name] = row
    return table


def frames(clip, count=8):
    """Neighbouring pairs of luma, 640x360, from all over the clip."""
    video = cv2.VideoCapture(str(clip))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    for at in np.linspace(0, max(0, total - 3), count).astype(int):
        video.set(cv2.CAP_PROP_POS_FRAMES, int(at))
        pair = [video.read() for _ in range(2)]
        if all(there for there, _ in pair):
            size = 640, 360
            yield [luma(cv2.resize(frame, size, interpolation=cv2.INTER_AREA)) for _, frame in pair]


def times(ours, clip, rounds):
    """Medians in seconds for each preset: OpenCV's, ours."""
    pairs = list(frames(clip))
    taken = {preset: ([], []) for preset in PRESETS}
    for preset in PRESETS:
        opencv(preset, pairs[0])
        ours.flow(preset, pairs[0])
    for _ in range(rounds):
        for preset, (theirs, own) in taken.items():
            for pair in pairs:
                theirs.append(opencv(preset, pair)[1])
                own.append(ours.flow(preset, pair)[1])
    return {preset: tuple(map(median, both)) for preset, both in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flow", default=TARGET / "release/examples/flow")
    parser.add_argument("--media", type=Path, default=ROOT.parent / "shared/media")
    parser.add_argument("--clip", default="pyfeat_single_face.mp4")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    missed = []

    def bar(name, ratio, most):
        if most is None:
            return ""
        missed.extend([name] if ratio > most else [])
        return f"  (at most {most:.2f}: {'missed' if ratio > most else 'kept'})"

    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(options.flow, folder)
        print(f"end-point error in pixels    OpenCV {cv2.__version__}    ours   ratio")
        for preset, rows in errors(ours, options.media / "flow/middlebury").items():
            rows["average"] = [mean(column) for column in zip(*rows.values())]
            for name, (theirs, own) in rows.items():
                text = bar(f"error, {preset}", own / theirs, MOST_ERROR.get(preset) if name == "average" else None)
                print(f"{preset + ': ' + name:32} {theirs:9.4f} {own:9.4f}  {own / theirs:6.3f}{text}")
        print("milliseconds, 640x360, one core (medians)")
        for preset, (theirs, own) in times(ours, options.media / "videos" / options.clip, options.rounds).items():
            text = bar(f"time, {preset}", own / theirs, MOST_TIME.get(preset))
            print(f"{preset:32} {1e3 * theirs:9.2f} {1e3 * own:9.2f}  {own / theirs:6.3f}{text}")
        ours.process.stdin.close()
        ours.process.wait()
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
