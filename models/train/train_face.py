"""Trains `facesr-face-256`, the restorer of aligned faces.

    python train_face.py [--config facesr-face-256.toml] [--data DIR] [--work DIR] [--stage NAME]

Stages follow one another as the configuration has them; each goes on from its checkpoint in
the work folder and starts from the averaged weights of the one before. `export.py face` makes
the ONNX file of the last.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import degrade
from faces import Faces, Samples
from loop import Log, Run, psnr, seed_all
from losses import charbonnier, decibels, unsteady
from nets import FaceNet
from perceptual import Features, pretrained

HERE = Path(__file__).resolve().parent

# How many of the held-out faces the log judges by; evaluate.py takes all of them.
GLANCE = 40


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--config", type=Path, default=HERE / "facesr-face-256.toml")
    options.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "faces_train")
    options.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "train" / "face")
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "facesr")
    options.add_argument("--stage", help="this stage only")
    options = options.parse_args()
    config = tomllib.loads(options.config.read_text())
    log = Log(options.work)
    torch.set_num_threads(1)
    seed_all(config["seed"])
    faces = Faces(options.data, options.work, options.cache / "models" / "yunet.onnx", log)
    net = FaceNet(**config["net"])
    for number, stage in enumerate(config["stage"]):
        if options.stage in (None, stage["name"]):
            features = Features(pretrained(options.cache)) if stage["head"] == "detail" else None
            train(net, faces, stage, config["seed"] + number, options.work, features, log)
        before = options.work / f"{stage['name']}.pt"
        if before.exists():
            net.load_state_dict(torch.load(before, weights_only=True)["average"])


def train(net, faces: Faces, stage: dict, seed: int, work: Path, features, log) -> None:
    """One stage: the trunk with the faithful head, or the head of detail alone."""
    detail = stage["head"] == "detail"
    for name, weight in net.named_parameters():
        weight.requires_grad_(name.startswith("detail.") == detail)
    net = net.to(memory_format=torch.channels_last)
    run = Run(net, stage, work, stage["name"], log)
    if run.done:
        return
    frames = stage.get("frames", 1)
    samples = Samples(faces, seed, stage["steps"] * stage["batch"], frames, detail)
    glance, points = Glance(faces), (1.0, 0.0) if detail else (1.0,)
    log(f"{stage['name']}: {sum(weight.numel() for weight in run.trained)} weights; bicubic {glance.plain}")
    target = Detail(features, stage) if detail else Faithful(stage)

    def losses(net, given, truth, sharp, moved):
        given, truth = (unit(part).flatten(0, 1).contiguous(memory_format=torch.channels_last) for part in (given, truth))
        return target(net, given, truth, sharp.repeat_interleave(frames), moved, frames)

    run.train(samples, losses, lambda average: glance(average, points))


class Faithful:
    """Nearness to the truth; with frames in pairs, steadiness too."""

    def __init__(self, stage: dict):
        self.steady = stage.get("steady", 0.0)

    def __call__(self, net, given, truth, sharp, moved, frames):
        made = net.faithful_of(given, net.trunk(given))
        # As what was given is no variable, this is the same loss, and says how much better the face became.
        parts = {"decibels": decibels(made, truth, sharp) - decibels(given, truth, sharp)}
        if frames == 2 and self.steady:
            parts["unsteady"] = self.steady * unsteady(made.unflatten(0, (-1, 2)), moved)
        return parts


class Detail:
    """What the head of detail adds: judged by features of a part of the face, held near the truth, kept steady."""

    # Side of the part that the features are of, which cost more than all else.
    PART = 80

    # How much smaller the face is looked at: small faces are shown small again, where the detail of the
    # full size is no longer seen.
    SIZES = (1, 2, 4)

    def __init__(self, features, stage: dict):
        self.features, self.stage = features, stage

    def __call__(self, net, given, truth, sharp, moved, frames):
        with torch.no_grad():
            features = net.trunk(given)
            faithful = net.faithful_of(given, features)
        made = faithful + net.detail_of(features)
        parts = {
            "charbonnier": self.stage["near"] * charbonnier(made, truth).mean(),
            "features": self.stage["seen"] * self._looks(made[::frames], truth[::frames]),
        }
        if frames == 2:
            parts["unsteady"] = self.stage["steady"] * unsteady(made.unflatten(0, (-1, 2)), moved)
        return parts

    def _looks(self, made, truth):
        total = 0.0
        for fold in self.SIZES:
            one, other = (functional.avg_pool2d(picture, fold) for picture in (made, truth))
            free = max(one.shape[-1] - self.PART, 0)
            # Not at the border, where there is no face.
            margin = min(24 // fold, free // 2)
            top, left = (margin + int(place) for place in torch.randint(free - 2 * margin + 1, (2,)))
            part = np.s_[..., top : top + self.PART, left : left + self.PART]
            total = total + self.features.distance(one[part], other[part])
        return total / len(self.SIZES)


class Glance:
    """PSNR at the three levels on some of the held-out faces, against bicubic."""

    def __init__(self, faces: Faces):
        self.truth = np.stack([faces.judge(number) for number in range(min(GLANCE, len(faces.judges)))])
        self.given = {
            name: np.stack([
                degrade.resized(degrade.level(truth, name, np.random.default_rng(number)), 256)
                for number, truth in enumerate(self.truth)
            ])
            for name in degrade.LEVELS
        }
        self.plain = " ".join(f"{name} {self._psnr(given):.2f}" for name, given in self.given.items())

    def _psnr(self, made) -> float:
        return float(np.mean([psnr(one, truth) for one, truth in zip(made, self.truth)]))

    def __call__(self, net, points) -> str:
        texts = []
        for name, given in self.given.items():
            plain, gains = self._psnr(given), []
            for fidelity in points:
                made = np.concatenate([restored(net, part, fidelity) for part in np.array_split(given, 5) if len(part)])
                gains.append(f"{self._psnr(made) - plain:+.2f}")
            texts.append(f"{name} {'/'.join(gains)}")
        return " ".join(texts)


@torch.no_grad()
def restored(net, given: np.ndarray, fidelity: float) -> np.ndarray:
    """Pictures [N, H, W, 3], uint8, through the network and rounded."""
    picture = unit(torch.from_numpy(given.transpose(0, 3, 1, 2))).contiguous(memory_format=torch.channels_last)
    made = net(picture, torch.tensor([fidelity]))
    return ((made.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def unit(picture):
    """0..255 to -1..1."""
    return picture.float() / 127.5 - 1


if __name__ == "__main__":
    main()
