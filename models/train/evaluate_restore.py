"""Judges `facesr-restore-x2` beside bicubic and the other networks: nearness to the truth on harmed video, and bare speed.

    python evaluate_restore.py [--network FILE.onnx] [--media DIR] [--others NAME,NAME]

The clips are ground truths reduced by 2 and given noise, the marks of an archive, or strong compression;
"clean" is reduced and nothing else, "raw" has 12 levels of noise of each colour of its own, as from a sensor.
PSNR is of luma (BT.601), LP is ST-LPIPS (AlexNet), of fewer frames; a network of a factor of 4 has its picture reduced. Speed is as in `evaluate_live.py`.
"""

import argparse
from pathlib import Path

import av
import numpy as np
from PIL import Image

import degrade
from evaluate_face import open_session
from evaluate_live import near, set5, speed

HERE = Path(__file__).resolve().parent

# Frames of each clip: the first, so many apart, and how many; LP is of every second.
FIRST, APART, FRAMES = 5, 12, 5

# Sides of a picture that the networks get are multiples of this.
MULTIPLE = 8

# What is done here to the truth, and what is there beside it.
DONE, GIVEN = ("clean", "raw"), ("comp", "noise", "arch")

# Pixels at the edges of a frame that are not compared with the same ones moved: they see less.
EDGE = 24

# Standard deviation of the noise of "raw".
RAW = 12


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--network", type=Path, default=HERE.parent / "trained" / "facesr-restore-x2.onnx")
    options.add_argument("--others", default="span-x2,animevideo-x2", help="names of networks in the cache, realesrgan-x4plus among them")
    options.add_argument("--media", type=Path, default=HERE.parents[2] / "shared" / "media")
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "facesr")
    options.add_argument("--threads", type=int, default=2)
    options = options.parse_args()
    sessions = {"restore": open_session(options.network, options.threads)}
    for name in filter(None, options.others.split(",")):
        sessions[name] = open_session(options.cache / "models" / f"{name}.onnx", options.threads)
    distance = open_session(options.cache / "models" / "stlpips-alex.onnx", options.threads)
    gains = quality(sessions, distance, options.media)
    unmoved(sessions, options.media)
    if "span-x2" in sessions:
        speed({"span": sessions["span-x2"], "restore": sessions["restore"]})
    print()
    for harm in DONE + GIVEN:
        least = min(gains[harm])
        print(f"{'PASS' if least >= 0.3 else 'FAIL'}  nearer than bicubic on every {harm} clip, at least +0.3 dB: {least:+.2f}")


def quality(sessions: dict, distance, media: Path) -> dict:
    """What the network gains over bicubic on every clip, by kind of harm."""
    print(f"{'luma PSNR, LP':16} " + " ".join(f"{name:>18}" for name in ("bicubic", *sessions)))
    gains = {harm: [] for harm in DONE + GIVEN}
    for clip, harm, pairs in clips(media):
        networks = {"bicubic": None, **sessions}
        found = {name: [judged(session, *pair, distance if number % 2 == 0 else None) for number, pair in enumerate(pairs)]
                 for name, session in networks.items()}
        means = {name: np.nanmean(figures, axis=0) for name, figures in found.items()}
        print(f"{clip + ' ' + harm:16} " + " ".join(f"{psnr:11.2f}, {apart:.3f}" for psnr, apart in means.values()), flush=True)
        gains[harm].append(means["restore"][0] - means["bicubic"][0])
    return gains


def unmoved(sessions: dict, media: Path) -> None:
    """How much depends on where a pixel lies in a fold: a frame and the same moved by a pixel, in levels of 255."""
    print(f"{'moved by a pixel':16} " + " ".join(f"{name:>18}" for name in sessions) + "  mean, largest of 99.9 %")
    for path in sorted((media / "pairs").glob("*.gt.mkv")):
        frame, figures = next(some(path)), []
        for session in sessions.values():
            apart = differences(session, frame)
            figures.append(f"{apart.mean():11.2f}, {np.percentile(apart, 99.9):5.1f}")
        print(f"{path.name.removesuffix('.gt.mkv'):16} " + " ".join(figures), flush=True)


def differences(session, frame):
    """Between what is made of a frame and of the same that begins a pixel later, where both show the same."""
    height, width = ((side - 1) // MULTIPLE * MULTIPLE for side in frame.shape[:2])
    apart, whole = [], None
    for down, across in ((0, 0), (1, 0), (0, 1), (1, 1)):
        made = enlarged(session, frame[down : down + height, across : across + width]).astype(int)
        factor = made.shape[0] // height
        if whole is None:
            whole = made
            continue
        same = made[: (height - down) * factor, : (width - across) * factor], whole[down * factor :, across * factor :]
        edge = EDGE * factor
        apart.append(np.abs(same[0] - same[1])[edge:-edge, edge:-edge].ravel())
    return np.concatenate(apart)


def clips(media: Path):
    """Name, harm, and pairs of a small picture and the truth."""
    yield "Set5", "clean", [(reduced(fitting(truth)), fitting(truth)) for truth in set5(media)]
    for path in sorted((media / "pairs").glob("*.gt.mkv")):
        name = path.name.removesuffix(".gt.mkv")
        truths = [fitting(truth) for truth in some(path)]
        yield name, "clean", [(reduced(truth), truth) for truth in truths]
        rng = np.random.default_rng(1)
        yield name, "raw", [(degrade.noisy(reduced(truth), RAW, rng), truth) for truth in truths]
        for harm in GIVEN:
            harmed = path.with_name(f"{name}.{harm}.x2.mkv")
            if harmed.exists():
                smalls = (small[: truth.shape[0] // 2, : truth.shape[1] // 2] for small, truth in zip(some(harmed), truths))
                yield name, harm, list(zip(smalls, truths))


def some(path: Path):
    with av.open(str(path)) as video:
        for number, frame in enumerate(video.decode(video=0)):
            if number >= FIRST and (number - FIRST) % APART == 0:
                yield frame.to_ndarray(format="rgb24")
            if number >= FIRST + APART * (FRAMES - 1):
                return


def fitting(truth):
    height, width = (side // (2 * MULTIPLE) * 2 * MULTIPLE for side in truth.shape[:2])
    return truth[:height, :width]


def reduced(truth):
    return resized(truth, (truth.shape[1] // 2, truth.shape[0] // 2))


def resized(picture, size):
    return np.asarray(Image.fromarray(picture).resize(size, Image.BICUBIC))


def judged(session, small, truth, distance):
    size = truth.shape[1::-1]
    made = resized(small, size) if session is None else enlarged(session, small)
    if made.shape != truth.shape:
        made = resized(made, size)
    return near(made, truth), float("nan") if distance is None else apart(distance, made, truth)


def enlarged(session, small):
    value = small.transpose(2, 0, 1)[None].astype(np.float32) / 255
    made = session.run(None, {session.get_inputs()[0].name: value})[0][0].transpose(1, 2, 0)
    return (made.clip(0, 1) * 255).round().astype(np.uint8)


def apart(distance, made, truth) -> float:
    made, truth = (picture.transpose(2, 0, 1)[None].astype(np.float32) / 255 for picture in (made, truth))
    return float(distance.run(None, {"test": made, "truth": truth})[0][0])


if __name__ == "__main__":
    main()
