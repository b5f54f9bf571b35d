#!/usr/bin/env python3
"""Outputs used again beside the same network on every frame: picture, flicker, seams, ages, and time on one thread.

    scripts/bars_reuse.py [--media FOLDER] [--rows NAME,...] [--model span-x2] [--faces auto] [--only stage|element] [--in-flight N] [--provider cpu]

FOLDER is where `pairs` and `videos` lie. Two clips are halved (videos/clm_cap12.mp4, frames 0 to 80, and
videos/intel_asl/book.mkv) and enlarged again; pairs hold clips that noise or compression went over. Each is made by the
network frame by frame, steadied with an inference for every frame, and with outputs used again, all in turn by
examples/reuse on one thread. After that, the whole element on all cores beside a bare session, by
examples/reuse_element; on another provider, such as openvino:bf16, that is only told. Exits with 1 where a bar is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
LUMA = numpy.array([0.299, 0.587, 0.114], numpy.float32)
# Pixels of the input on a side of a tile, and frames that a tile may be old.
TILE, OLDEST = 32, 64

# Clip, `reuse`, and bars: area at most; times the speed of the bare network at least; dB over steadied and over bare at
# least; SSIM over steadied at least; worst tile over steadied in levels at most; flicker to bare at most; time to bare and
# steadied at most.
ROWS = {
    "cap12": ("clm_cap12", 1.0, {"area": 0.18, "speed": 4.0, "psnr": -0.1, "tile": 0.6}),
    "book": ("intel_asl/book", 0.5, {"area": 0.45, "speed": 2.0, "psnr": -0.1, "psnr-bare": 0.2, "ssim": -0.0015}),
    "carphone.comp": (None, 1.0, {"psnr": -0.05, "psnr-bare": 0.0, "ssim": -0.005, "time": 1.1}),
    "bikes.comp": (None, 1.0, {"psnr": -0.05, "psnr-bare": 0.0, "ssim": -0.005, "time": 1.1}),
    "foreman.comp": (None, 1.0, {"psnr": -0.05, "psnr-bare": 0.0, "ssim": -0.005, "time": 1.1}),
    "carphone.noise": (None, 0.25, {"psnr-bare": 0.0, "tde": 0.75}),
    "bikes.noise": (None, 0.25, {"psnr-bare": 0.0, "tde": 0.75}),
    "foreman.noise": (None, 0.25, {"psnr-bare": 0.0, "tde": 0.9}),
}
# For every row: gradients of the error across borders of tiles to those of the steadied result.
SEAMS = 1.05
# Clip, `reuse`, and what the whole element must reach of the bare network's speed without faces and with.
ELEMENT = {"cap12": ("clm_cap12", 1.0, 4.0, 2.5), "book": ("intel_asl/book", 0.5, 2.0, 1.5)}
# Figures of which more is better.
MORE = {"speed", "psnr", "psnr-bare", "ssim"}


def frames(path: Path, most: int = 10_000) -> list:
    clip = cv2.VideoCapture(str(path))
    found = []
    while len(found) < most:
        there, frame = clip.read()
        if not there:
            break
        found.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    if not found:
        sys.exit(f"bars_reuse: {path}: no frames can be read")
    return found


def clips(row: str, clip: str, media: Path) -> tuple:
    """Inputs and truths."""
    if clip is None:
        name = row.split(".")[0]
        return frames(media / f"pairs/{row}.x2.mkv"), frames(media / f"pairs/{name}.gt.mkv")
    path = next((media / "videos").glob(f"{clip}.*"), None)
    if path is None:
        sys.exit(f"bars_reuse: there is no {clip} in {media}/videos")
    truth = [frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2] for frame in frames(path, 81)]
    half = [cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in truth]
    return half, truth


def luma(frame):
    return frame.astype(numpy.float32) @ LUMA


def psnr(made, truth):
    return float(numpy.mean([10 * numpy.log10(255**2 / max(numpy.mean((a - b) ** 2), 1e-9)) for a, b in zip(made, truth)]))


def ssim(made, truth):
    def of(a, b):
        mean = lambda x: cv2.GaussianBlur(x, (11, 11), 1.5)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        ma, mb = mean(a), mean(b)
        va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
        return numpy.mean((2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2)))

    return float(numpy.mean([of(a, b) for a, b in zip(made, truth)]))


def flicker(made, truth):
    steps = zip(made, made[1:], truth, truth[1:])
    return float(numpy.mean([numpy.mean(abs((b - a) - (d - c))) for a, b, c, d in steps]))


def worst_tile(made, truth, side):
    """Mean error of the tile where it is largest over the clip."""
    error = numpy.mean([abs(a - b) for a, b in zip(made, truth)], axis=0)
    height, width = error.shape
    return {
        (y, x): float(error[y : y + side, x : x + side].mean())
        for y in range(0, height, side)
        for x in range(0, width, side)
    }


def seams(made, truth, side):
    """Mean step of the error across borders of tiles."""
    total = []
    for a, b in zip(made, truth):
        error = a - b
        total.append(numpy.mean(abs(error[:, side::side] - error[:, side - 1 : -1 : side])))
        total.append(numpy.mean(abs(error[side::side] - error[side - 1 : -1 : side])))
    return float(numpy.mean(total))


def element(options) -> list:
    """Speed of the whole element to the bare network's; the bars that are missed."""
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        tool = TARGET / "examples/reuse_element"
        for row in [row for row in options.rows.split(",") if row in ELEMENT]:
            clip, reuse, *bars = ELEMENT[row]
            inputs, _ = clips(row, clip, options.media)
            height, width, _ = inputs[0].shape
            base = Path(folder) / "clip"
            base.write_bytes(b"".join(frame.tobytes() for frame in inputs))
            for faces, bar in zip(("off", "auto"), bars):
                line = f"{width} {height} {options.model} {options.provider} reuse={reuse},face-mode={faces},frames-in-flight={options.in_flight} {base}\n"
                done = subprocess.run([tool], input=line, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"bars_reuse: examples/reuse_element: {done.stderr.strip()}")
                told = json.loads(done.stdout)
                speed = told["bare"] / told["element"]
                held = ""
                if options.provider == "cpu":
                    held = f"  (at least {bar:g}: {'kept' if speed >= bar else 'MISSED'})"
                    if speed < bar:
                        missed.append(f"element {row} faces {faces}")
                print(
                    f"element on {options.provider}, {row} {width}x{height}, reuse {reuse:g}, face-mode={faces}: {speed:.2f} times the bare network"
                    f" ({told['element']:.0f} and {told['bare']:.0f} ms a frame, {told['area']:.3f} inferred,"
                    f" {told['restored']} faces restored){held}",
                    flush=True,
                )
    return missed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--media", type=Path, default=ROOT.parent / "shared/media")
    options.add_argument("--rows", default=",".join(ROWS))
    options.add_argument("--model", default="span-x2")
    options.add_argument("--faces", default="off", choices=["off", "auto"])
    options.add_argument("--reuse", type=float, help="instead of the row's own; no bars are held then")
    options.add_argument("--in-flight", type=int, default=1, help="frames in flight in the element")
    options.add_argument("--provider", default="cpu", help="of the element and of the bare network beside it")
    options.add_argument("--only", choices=["stage", "element"])
    options = options.parse_args()
    if not options.media.is_dir():
        sys.exit(f"bars_reuse: there is no folder {options.media}: name it by --media")
    missed = element(options) if options.only != "stage" else []
    with tempfile.TemporaryDirectory() as folder:
        tool = subprocess.Popen(
            [TARGET / "examples/reuse"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAYON_NUM_THREADS": "1"},
        )
        for row in options.rows.split(",") if options.only != "element" else []:
            if row not in ROWS:
                sys.exit(f"bars_reuse: no row {row}: one of {', '.join(ROWS)}")
            clip, reuse, bars = ROWS[row]
            if options.reuse is not None:
                reuse, bars = options.reuse, {}
            inputs, truths = clips(row, clip, options.media)
            count = min(len(inputs), len(truths))
            height, width, _ = inputs[0].shape
            base = Path(folder) / "clip"
            base.write_bytes(b"".join(frame.tobytes() for frame in inputs[:count]))
            print(width, height, options.model, reuse, options.faces, base, base, file=tool.stdin, flush=True)
            answer = tool.stdout.readline()
            if not answer:
                sys.exit("bars_reuse: examples/reuse ended; see above")
            told = json.loads(answer)
            shape = (-1, 2 * height, 2 * width, 3)
            made = {
                way: [luma(frame) for frame in numpy.fromfile(f"{base}.{way}", numpy.uint8).reshape(shape)]
                for way in ("frame", "every", "reuse")
            }
            truth = [luma(frame) for frame in truths[:count]]
            quality = {way: psnr(clip, truth) for way, clip in made.items()}
            tiles = {way: worst_tile(made[way], truth, 2 * TILE) for way in ("every", "reuse")}
            found = {
                "area": told["area"],
                "speed": told["frame"] / told["reuse"],
                "psnr": quality["reuse"] - quality["every"],
                "psnr-bare": quality["reuse"] - quality["frame"],
                "ssim": ssim(made["reuse"], truth) - ssim(made["every"], truth),
                "tile": max(tiles["reuse"][at] - tiles["every"][at] for at in tiles["every"]),
                "tde": flicker(made["reuse"], truth) / flicker(made["frame"], truth),
                "time": told["reuse"] / told["every"],
                "seams": seams(made["reuse"], truth, 2 * TILE) / seams(made["every"], truth, 2 * TILE),
                "oldest": told["oldest"],
            }
            bars = {**bars, "oldest": OLDEST, **({"seams": SEAMS} if options.reuse is None else {})}
            print(
                f"{row}: {count} frames {width}x{height}, reuse {reuse:g}; bare {quality['frame']:.2f} dB, steadied"
                f" {quality['every']:.2f}; ms a frame: bare {told['frame']:.0f}, steadied {told['every']:.0f}, reused"
                f" {told['reuse']:.0f} (look {told['look']:.1f}, network {told['upscale']:.1f}, blend {told['blend']:.1f});"
                f" whole {told['whole']}"
            )
            for name, figure in found.items():
                bar, text = bars.get(name), ""
                if bar is not None:
                    kept = figure >= bar if name in MORE else figure <= bar
                    text = f"  ({'at least' if name in MORE else 'at most'} {bar:g}: {'kept' if kept else 'MISSED'})"
                    if not kept:
                        missed.append(f"{row} {name}")
                print(f"  {name:10} {figure:8.4f}{text}")
            sys.stdout.flush()
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
