"""Judges `facesr-live-x2` beside bicubic and SPAN x2: nearness to the truth, and bare speed.

    python evaluate_live.py [--network FILE.onnx] [--eight FILE.onnx] [--media DIR]

PSNR is of luma (BT.601) on Set5 and on frames of the benchmark clips' ground truths, all reduced
by 2 (bicubic), without a border. Speed is time of the processor for one picture of 640x360, the least
of several rounds in which the networks take turns, as a ratio to SPAN's.
"""

import argparse
import time
from pathlib import Path

import av
import numpy as np
from PIL import Image

from evaluate_face import open_session
from loop import psnr

HERE = Path(__file__).resolve().parent

# Frames of each clip, so many apart.
FRAMES, APART = 5, 12

# Pixels at the border that are not judged.
BORDER = 8

ROUNDS = 7


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--network", type=Path, default=HERE.parent / "trained" / "facesr-live-x2.onnx")
    options.add_argument("--eight", type=Path, default=HERE.parent / "trained" / "facesr-live-x2-int8.onnx",
                         help="the same network in whole numbers of 8 bits")
    options.add_argument("--media", type=Path, default=HERE.parents[2] / "shared" / "media")
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "facesr")
    options.add_argument("--threads", type=int, default=2)
    options = options.parse_args()
    paths = {"live": options.network, "span": options.cache / "models" / "span-x2.onnx"}
    if options.eight:
        paths["int8"] = options.eight
    sessions = {name: open_session(path, options.threads) for name, path in paths.items()}
    gains = quality(sessions, options.media)
    ratios = speed(sessions)
    print()

    def bar(text: str, value: float, holds: bool):
        print(f"{'PASS' if holds else 'FAIL'}  {text}: {value:.3f}")

    for where in ("Set5", "pairs"):
        bar(f"live over bicubic on {where}, at least +0.8 dB", gains["live"][where], gains["live"][where] >= 0.8)
    bar("live, speed to SPAN's, at least 30", ratios["live"], ratios["live"] >= 30)
    if options.eight:
        for where in ("Set5", "pairs"):
            lost = gains["live"][where] - gains["int8"][where]
            bar(f"int8 loss on {where}, at most 0.1 dB", lost, lost <= 0.1)


def quality(sessions: dict, media: Path) -> dict:
    """Mean gain over bicubic, of every network on every set."""
    sets = {"Set5": {"Set5": list(set5(media))}, "pairs": {}}
    for path in sorted((media / "pairs").glob("*.gt.mkv")):
        sets["pairs"][path.name.removesuffix(".gt.mkv")] = list(frames(path))
    print(f"{'PSNR':10} {'bicubic':>8} " + " ".join(f"{name:>8}" for name in sessions))
    gains = {name: {} for name in sessions}
    for where, clips in sets.items():
        found = {name: [] for name in sessions}
        for clip, pictures in clips.items():
            smalls = [np.asarray(Image.fromarray(large).resize((large.shape[1] // 2, large.shape[0] // 2), Image.BICUBIC))
                      for large in pictures]
            plain = np.mean([near(np.asarray(Image.fromarray(small).resize(large.shape[1::-1], Image.BICUBIC)), large)
                             for small, large in zip(smalls, pictures)])
            line = [f"{clip:10} {plain:8.2f}"]
            for name, session in sessions.items():
                mean = np.mean([near(run(session, small), large) for small, large in zip(smalls, pictures)])
                found[name].append(mean - plain)
                line.append(f"{mean:8.2f}")
            print(" ".join(line), flush=True)
        for name in sessions:
            gains[name][where] = float(np.mean(found[name]))
    return gains


def speed(sessions: dict) -> dict:
    picture = np.random.default_rng(1).random((1, 3, 360, 640), np.float32)
    times = {name: [] for name in sessions}
    for number in range(ROUNDS):
        for name, session in sessions.items():
            if name == "span" and number % 3:
                continue  # takes as long as thirty of the others
            start = time.process_time()
            session.run(None, {"input": picture})
            times[name].append(time.process_time() - start)
    least = {name: min(found) for name, found in times.items()}
    for name, found in least.items():
        print(f"{name:10} {1000 * found:8.0f} ms of the processor, {least['span'] / found:6.1f} times SPAN's speed")
    return {name: least["span"] / found for name, found in least.items()}


def run(session, small):
    value = small.transpose(2, 0, 1)[None].astype(np.float32) / 255
    value = session.run(None, {"input": value})[0][0].transpose(1, 2, 0)
    return (value.clip(0, 1) * 255).round()


def near(made, truth) -> float:
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    luma = [np.asarray(picture, np.float64)[inside] @ (0.299, 0.587, 0.114) for picture in (made, truth)]
    return psnr(*luma)


def set5(media: Path):
    for path in sorted((media / "sr" / "Set5").glob("*_HR.png")):
        yield even(np.asarray(Image.open(path).convert("RGB")))


def frames(path: Path):
    with av.open(str(path)) as video:
        for number, frame in enumerate(video.decode(video=0)):
            if number % APART == 0:
                yield even(frame.to_ndarray(format="rgb24"))
            if number >= APART * (FRAMES - 1):
                return


def even(picture):
    """Sides that are multiples of 4, so that those of half the size are even."""
    return picture[: picture.shape[0] // 4 * 4, : picture.shape[1] // 4 * 4]


if __name__ == "__main__":
    main()
