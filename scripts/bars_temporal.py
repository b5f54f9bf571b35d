#!/usr/bin/env python3
"""Steadying beside the same network frame by frame: picture, flicker, ghosts; and time beside OpenCV's flow.

    scripts/bars_temporal.py [--media FOLDER] [--pairs NAME,...] [--mode MODE] [--model NAME] [--only picture|time]

FOLDER/pairs holds ground truths (NAME.gt.mkv) and what became of them at half the size
(NAME.{noise,arch,comp}.x2.mkv). Every clip is enlarged frame by frame and steadied, both without loss, and
`facesr measure` holds them against the truth. Time is that of the stage at 640x360 to 1280x720 on one core, in turn
with OpenCV's dense inverse search (fast, finest level 1) on the same frames. Exits with 1 where a bar is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
FACESR = TARGET / "facesr"

# First frames of scenes in the ground truths.
CUTS = {"bikes": [5], "cut": [20, 40]}
# Gain in dB at least; ratios to frame by frame at most; ghosting in levels at most; sharpness to the truth at least.
BARS = {
    "carphone.noise": {"psnr": 0.4, "tde": 0.70, "sstd": 0.48, "warping-error": 0.38, "ghost": -0.4, "sharpness": 0.90},
    "bikes.noise": {"psnr": 0.8, "tde": 0.70, "sstd": 0.50, "warping-error": 0.32, "ghost": -0.3, "sharpness": 0.83},
    "foreman.noise": {"psnr": 0.2, "tde": 0.87, "ghost": 0.10},
    "carphone.arch": {"psnr": 1.8, "tde": 0.45},
    "bikes.arch": {"psnr": 3.1, "tde": 0.45},
    "carphone.comp": {"psnr": 0.0, "ssim": 0.0, "warping-error": 0.95},
    "bikes.comp": {"psnr": 0.0, "ssim": 0.0, "warping-error": 0.95},
    "foreman.comp": {"psnr": 0.0, "ssim": 0.0, "warping-error": 0.95},
}
# How a bar is held: the difference, the ratio or the figure itself; and whether more is better.
KINDS = {
    "psnr": ("difference", True),
    "ssim": ("difference", True),
    "tde": ("ratio", False),
    "sstd": ("ratio", False),
    "warping-error": ("ratio", False),
    "ghost": ("figure", False),
    "sharpness": ("figure", True),
}
# Mean error of the three frames from a cut on that was not noticed, over that frame by frame, in levels.
MISSED_CUT = 0.1
# Time of the stage to that of OpenCV's flow alone, the median of rounds. Held on an AMD EPYC (Zen 4); processors differ.
MOST_TIME = 1.0


def facesr(*words):
    done = subprocess.run([FACESR, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"facesr {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


class Bars:
    """Prints figures with their bars, and remembers which were missed."""

    def __init__(self):
        self.missed = []

    def hold(self, name, found, bar, more_is_better):
        if bar is None:
            return ""
        kept = found >= bar if more_is_better else found <= bar
        if not kept:
            self.missed.append(name)
        return f"  ({'at least' if more_is_better else 'at most'} {bar:g}: {'kept' if kept else 'MISSED'})"


class Clips:
    """A clip of the pairs, made frame by frame and steadied."""

    def __init__(self, options, folder):
        self.options, self.folder = options, Path(folder)

    def make(self, name, label, *words):
        made = self.folder / f"{name}.{label}.mkv"
        source = self.options.media / "pairs" / f"{name}.x2.mkv"
        facesr("enhance", source, made, "--model", self.options.model, "--lossless", "--progress", "none", "--face-mode", "off", *words)
        return made

    def measure(self, name, test, baseline, metrics):
        clip = name.split(".")[0]
        words = ["--reference", self.options.media / "pairs" / f"{clip}.gt.mkv", "--test", test, "--baseline", baseline]
        cuts = ",".join(map(str, CUTS.get(clip, []))) or "none"
        return json.loads(facesr("measure", *words, "--cuts", cuts, "--metrics", ",".join(metrics), "--json"))


def picture(clips, bars):
    """The table of every pair, frame by frame and steadied."""
    wanted = clips.options.pairs.split(",") if clips.options.pairs else list(BARS)
    for name in wanted:
        alone = clips.make(name, "alone", "--temporal-mode", "off")
        steady = clips.make(name, "steady", "--temporal-mode", clips.options.mode)
        found = clips.measure(name, steady, alone, KINDS)
        print(f"{name}{'':20} frame by frame   steadied")
        for metric, (kind, more) in KINDS.items():
            before = found["baseline_metrics"].get(metric, {}).get("value")
            after = found["metrics"][metric]["value"]
            if kind == "difference":
                held, text = after - before, f"{after - before:+.4f}"
            elif kind == "ratio":
                held, text = after / before, f"x{after / before:.3f}"
            else:
                held, text = after, ""
            bar = bars.hold(f"{name} {metric}", held, BARS.get(name, {}).get(metric), more)
            shown = "-" if before is None else f"{before:.5g}"
            print(f"  {metric:16} {shown:>16} {after:16.5g}  {text:>9}{bar}", flush=True)


def missed_cuts(clips, bars):
    """What a cut that is not noticed leaves of the scene before."""
    name = "cut.noise"
    if clips.options.pairs and name not in clips.options.pairs:
        return
    alone = clips.make(name, "alone", "--temporal-mode", "off")
    deaf = clips.make(name, "deaf", "--temporal-mode", clips.options.mode, "--scene-cut-threshold", "2")
    found = clips.measure(name, deaf, alone, ["psnr"])
    # Root of the mean square error, in levels, from the PSNR of each frame.
    error = lambda series: {int(frame): 255 * 10 ** (-db / 20) for frame, db in series}
    before, after = (error(found[key]["psnr"]["series"]) for key in ("baseline_metrics", "metrics"))
    for cut in CUTS["cut"]:
        frames = range(cut, cut + 3)
        more = mean(after[frame] for frame in frames) - mean(before[frame] for frame in frames)
        bar = bars.hold(f"{name} at {cut}", more, MISSED_CUT, False)
        print(f"{name}, cut at {cut} not noticed: {more:+.3f} levels of error over three frames{bar}")


def times(options, folder, bars):
    """The stage and OpenCV's flow, in turn on the same frames."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    video = cv2.VideoCapture(str(options.media / "videos/pyfeat_single_face.mp4"))
    frames = [frame for there, frame in (video.read() for _ in range(17)) if there]
    inputs, outputs = (Path(folder) / name for name in ("inputs.rgb", "outputs.rgb"))
    sized = lambda size: [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    small, large = sized((640, 360)), np.stack(sized((1280, 720)))
    np.stack(small).tofile(inputs)
    lumas = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in small]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(1)
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    command = [TARGET / "examples/temporal"]
    stage = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    theirs, ours = [], []
    for _ in range(options.rounds):
        began = cv2.getTickCount()
        for now, before in zip(lumas[1:], lumas):
            dis.calc(now, before, None)
        theirs.append((cv2.getTickCount() - began) / cv2.getTickFrequency() * 1e3 / (len(lumas) - 1))
        large.tofile(outputs)
        print(640, 360, 2, inputs, outputs, file=stage.stdin, flush=True)
        ours.append(float(stage.stdout.readline()))
    stage.stdin.close()
    stage.wait()
    ratio = median(our / their for our, their in zip(ours, theirs))
    bar = bars.hold("time", ratio, MOST_TIME, False)
    print(
        f"640x360 to 1280x720, one core, ms per frame (medians): OpenCV {cv2.__version__} flow alone {median(theirs):.2f},"
        f" the whole stage {median(ours):.2f}, ratio {ratio:.3f}{bar}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--media", type=Path, default=ROOT.parent / "shared/media")
    parser.add_argument("--pairs", help="only these, with commas between")
    parser.add_argument("--mode", default="balanced")
    parser.add_argument("--model", default="animevideo-x2")
    parser.add_argument("--only", choices=["picture", "time"])
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    bars = Bars()
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "time":
            clips = Clips(options, folder)
            picture(clips, bars)
            missed_cuts(clips, bars)
        if options.only != "picture":
            times(options, folder, bars)
    sys.exit(f"missed: {', '.join(bars.missed)}" if bars.missed else 0)


if __name__ == "__main__":
    main()
