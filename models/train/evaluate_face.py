"""Judges `facesr-face-256` on the held-out faces, beside what else one could take.

    python evaluate_face.py [--network FILE.onnx] [--data DIR] [--work DIR] [--slow N]

Every face at three levels of harm (degrade.LEVELS), enlarged by bicubic, SPAN, Real-ESRGAN
x4plus, and restored at both points of the network. What the other networks made is kept in
the work folder. Prints a table and whether each bar is met; writes a sheet of faces.

PSNR is of RGB; LP is ST-LPIPS (AlexNet); NME is the distance of YuNet's five points from
those in the truth, in distances between the eyes, where it sees a face; det is the share of faces it is
sure of; TE, the temporal error, is how much more two frames of one face differ than their
truths do, of 255, where the second has moved and has noise of its own; grid is how much more
the lines of period 4 and 2 stand out of the spectrum than they do in the truth.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw

import degrade
from faces import Faces
from loop import as_json, psnr
from yunet import Detector

HERE = Path(__file__).resolve().parent

# How far, in pixels, the second frame has moved.
MOVED = (3, 2)

# Pixels at the border that the temporal error leaves out: what moved in has no past.
BORDER = 16

# YuNet's score from which a face counts as detected, and from which its points are looked at.
SURE, SEEN = 0.6, 0.3

# Faces on the sheet, and the level that each row of two has.
SHEET, SHEET_LEVELS = 24, ("medium", "heavy", "light")

POINTS = {"faithful": 1.0, "detailed": 0.0}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--network", type=Path, default=HERE.parent / "trained" / "facesr-face-256.onnx")
    options.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "faces_train")
    options.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "train" / "face")
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "facesr")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--slow", type=int, default=120, help="faces that x4plus enlarges, a quarter of them at the light "
                         "level: 0.5, 2 and 8 s each; what is compared with it is of the same faces")
    options.add_argument("--perceptual", type=int, default=120, help="faces that LP is taken of (0.2 s each)")
    options.add_argument("--others", action="store_true", help="only make what the other networks make")
    options = options.parse_args()
    models = options.cache / "models"
    faces = Faces(options.data, options.work, models / "yunet.onnx")
    truths = [np.stack([moved(faces.judge(number), frame) for number in range(len(faces.judges))]) for frame in (0, 1)]
    table, made = {}, {}
    judge = Judge(models, truths, options.perceptual)
    for level in degrade.LEVELS:
        small = [np.stack([degrade.level(truth, level, np.random.default_rng((number, frame)))
                           for number, truth in enumerate(frames)]) for frame, frames in enumerate(truths)]
        given = [np.stack([degrade.resized(one, 256) for one in frames]) for frames in small]
        made[level] = {"bicubic": given}
        for name in ("span", "x4plus"):
            slow = options.slow // 4 if level == "light" else options.slow
            count = slow if name == "x4plus" else len(truths[0])
            made[level][name] = kept(options, name, level, [frames[:count] for frames in small])
        if options.others:
            continue
        session = open_session(options.network, options.threads)
        for name, fidelity in POINTS.items():
            made[level][name] = [restored(session, frames, fidelity) for frames in given]
        table[level] = {name: judge(frames) for name, frames in made[level].items()}
        show(level, table[level])
    if not options.others:
        bars(table)
        as_json(options.work / "eval.json", table)
        sheet(made, truths[0], options.work / "sheet.png")


def moved(truth, frame: int):
    return np.roll(truth, MOVED, (0, 1)) if frame else truth


def open_session(path: Path, threads: int = 1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def restored(session, pictures, fidelity: float):
    """Pictures [N, H, W, 3], uint8, through the restorer."""
    result = []
    for picture in pictures:
        value = picture.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        value = session.run(None, {"input": value, "fidelity": np.array([fidelity], np.float32)})[0][0]
        result.append(((np.clip(value, -1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0))
    return np.stack(result)


def kept(options, name: str, level: str, small):
    """What an upscaler makes of small faces, out of the work folder when it is there."""
    network = {"x4plus": "realesrgan-x4plus", "span": "span-x2" if level == "light" else "span-x4"}[name]
    results, session = [], None
    for frame, pictures in enumerate(small):
        path = options.work / f"{name}-{level}-{len(pictures)}-{frame}.npy"
        if not path.exists():
            session = session or open_session(options.cache / "models" / f"{network}.onnx", options.threads)
            np.save(path, np.stack([upscaled(session, picture) for picture in pictures]))
        results.append(np.load(path))
    return results


def upscaled(session, picture):
    """Through an upscaler, and to 256 by bicubic."""
    value = picture.transpose(2, 0, 1)[None].astype(np.float32) / 255
    value = session.run(None, {"input": value})[0][0].transpose(1, 2, 0)
    return degrade.resized((value.clip(0, 1) * 255).round().astype(np.uint8), 256)


class Judge:
    """Every figure of one way to enlarge, given two frames of every face."""

    def __init__(self, models: Path, truths, perceptual_faces: int):
        self.perceptual_faces = perceptual_faces
        self.truths, self.detector = truths, Detector(str(models / "yunet.onnx"))
        self.perceptual = open_session(models / "stlpips-alex.onnx")
        self.points = [self._best(truth)[1] for truth in truths[0]]

    def __call__(self, made) -> dict:
        truth = self.truths[0]
        seen = [(self._best(one), points) for one, points in zip(made[0], self.points)]
        nme = [np.linalg.norm(points - wanted, axis=1).mean() / np.linalg.norm(wanted[1] - wanted[0])
               if score >= SEEN else np.nan for (score, points), wanted in seen]
        te = [temporal(*frames) for frames in zip(*made, *self.truths)]
        return {
            "psnr": float(np.mean([psnr(one, other) for one, other in zip(made[0], truth)])),
            "lp": float(np.mean([self._distance(*pair) for pair in zip(made[0][: self.perceptual_faces], truth)])),
            "nme": float(np.nanmean(nme)),
            "det": float(np.mean([score >= SURE for (score, _), _ in seen])),
            "te": float(np.mean(te)),
            "grid": grid(made[0], truth),
            "faces": len(made[0]),
            "each": {"nme": [float(value) for value in nme], "te": te},
        }

    def _best(self, picture):
        found = self.detector.faces(picture, 0.1)
        return (found[0][0], found[0][3]) if found else (0.0, None)

    def _distance(self, made, truth) -> float:
        blob = [(picture.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32) for picture in (made, truth)]
        return float(self.perceptual.run(None, {"test": blob[0], "truth": blob[1]})[0][0])


def temporal(first, second, truth, truth_second) -> float:
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    first, second, truth, truth_second = (part[inside].astype(np.float32) for part in (first, second, truth, truth_second))
    return float(np.abs((second - first) - (truth_second - truth)).mean())


def grid(made, truth) -> float:
    """The most that any line of period 4 or 2 stands out more than in the truth."""
    return float(np.max(_peaks(made) / _peaks(truth[: len(made)])))


def _peaks(pictures):
    """At every multiple of a quarter of the sampling rate: the energy there to that around it."""
    side = pictures.shape[1]
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.zeros((side, side))
    for picture in pictures:
        power += np.abs(np.fft.fft2((picture.mean(2) - picture.mean()) * window)) ** 2
    places = [(side * down // 4, side * across // 4) for down in range(4) for across in range(4)][1:]
    peaks = []
    for place in places:
        near = np.roll(power, (8 - place[0], 8 - place[1]), (0, 1))[:17, :17]
        # A window of Hann spreads a line over three frequencies.
        centre = near[7:10, 7:10].mean()
        peaks.append(centre / ((near.sum() - near[6:11, 6:11].sum()) / (17 * 17 - 25)))
    return np.array(peaks)


def show(level: str, rows: dict) -> None:
    print(f"\n{level:10} {'PSNR':>7} {'LP':>7} {'NME %':>7} {'det %':>7} {'TE':>6} {'grid':>6} {'faces':>6}")
    for name, row in rows.items():
        print(f"{name:10} {row['psnr']:7.2f} {row['lp']:7.3f} {100 * row['nme']:7.2f} {100 * row['det']:7.1f} "
              f"{row['te']:6.2f} {row['grid']:6.2f} {row['faces']:6}", flush=True)


def bars(table: dict) -> None:
    """Every bar with the figure, and PASS or FAIL."""
    print()

    def bar(text: str, value: float, holds: bool):
        print(f"{'PASS' if holds else 'FAIL'}  {text}: {value:.3f}")

    for point, gains in (("faithful", (-0.1, 0.9, 1.0)), ("detailed", (-0.3, 0.3, 0.5))):
        for level, least in zip(degrade.LEVELS, gains):
            rows = table[level]
            gain = rows[point]["psnr"] - rows["bicubic"]["psnr"]
            bar(f"{point} at {level}: PSNR over bicubic, at least {least:+.1f} dB", gain, gain >= least)
            if level == "light":
                continue
            if point == "detailed":
                share = rows[point]["lp"] / rows["bicubic"]["lp"]
                bar(f"{point} at {level}: LP to bicubic's, at most 0.75", share, share <= 0.75)
                share = rows[point]["lp"] / rows["span"]["lp"]
                bar(f"{point} at {level}: LP to SPAN's, below 1", share, share < 1)
            for other in ("bicubic", "span", "x4plus"):
                share = ratio(rows[point], rows[other], "nme")
                bar(f"{point} at {level}: NME to that of {other}, below 1", share, share < 1)
            for other, most in (("bicubic", 0.95), ("x4plus", 0.75)):
                share = ratio(rows[point], rows[other], "te")
                bar(f"{point} at {level}: temporal error to that of {other}, at most {most}", share, share <= most)
        worst = max(table[level][point]["grid"] for level in degrade.LEVELS)
        bar(f"{point}: grid, at most 1.5", worst, worst <= 1.5)
        seen = table["heavy"][point]["det"]
        bar(f"{point} at heavy: faces detected, at least 0.97", seen, seen >= 0.97)


def ratio(one: dict, other: dict, figure: str) -> float:
    """Of the means over the faces for which both have the figure."""
    pairs = np.array(list(zip(one["each"][figure], other["each"][figure])))
    pairs = pairs[np.isfinite(pairs).all(1)]
    return float(pairs[:, 0].mean() / pairs[:, 1].mean())


def sheet(made: dict, truth, path: Path) -> None:
    """Two faces a row at 100 %: input, x4plus, faithful, detailed, truth."""
    names, rows = ("bicubic", "x4plus", "faithful", "detailed"), []
    for row in range(SHEET // 2):
        level = SHEET_LEVELS[row % len(SHEET_LEVELS)]
        cells = []
        for number in (2 * row, 2 * row + 1):
            shown = [made[level][name][0] for name in names] + [truth]
            # Grey where x4plus was spared the work.
            cells += [part[number] if number < len(part) else np.full_like(truth[0], 128) for part in shown]
        rows.append(np.concatenate(cells, 1))
    picture = Image.fromarray(np.concatenate(rows))
    pen = ImageDraw.Draw(picture)
    for row in range(SHEET // 2):
        for column in range(10):
            text = (*names, "truth")[column % 5]
            pen.text((256 * column + 4, 256 * row + 2), f"{text} {SHEET_LEVELS[row % 3]}", fill=(255, 255, 0))
    picture.save(path)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
