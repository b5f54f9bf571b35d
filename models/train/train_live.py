"""Trains `facesr-live-x2`, the upscaler of video for processors.

    python train_live.py [--config facesr-live-x2.toml] [--media DIR] [--data DIR] [--work DIR]

Goes on from its checkpoint in the work folder. `export.py live` makes the ONNX file of it.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from loop import Log, Run, psnr, seed_all
from losses import charbonnier
from nets import LiveNet
from stills import Stills

HERE = Path(__file__).resolve().parent


def main() -> None:
    def samples(options, *which):
        return Stills(options.media, options.data, *which)

    train(__doc__, "live", samples, LiveNet, losses, lambda media: [Glance(media)])


def train(about: str, kind: str, samples, net, losses, glances) -> None:
    """Trains an upscaler: what it learns from and the class of the network are given, and what is looked at now and then."""
    options = argparse.ArgumentParser(description=about.splitlines()[0])
    shared = HERE.parents[2] / "shared"
    options.add_argument("--config", type=Path, default=HERE / f"facesr-{kind}-x2.toml")
    options.add_argument("--media", type=Path, default=shared / "media")
    options.add_argument("--data", type=Path, default=shared / "faces_train")
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "facesr", help="has landscapes/, for restoring")
    options.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "train" / kind)
    options = options.parse_args()
    config = tomllib.loads(options.config.read_text())
    log = Log(options.work)
    torch.set_num_threads(1)
    seed_all(config["seed"])
    (stage,) = config["stage"]
    samples = samples(options, config["seed"], stage["steps"] * stage["batch"])
    log(f"stills: {samples}")
    run = Run(net(**config["net"]).to(memory_format=torch.channels_last), stage, options.work, stage["name"], log)
    glances = glances(options.media)
    log(f"{sum(weight.numel() for weight in run.trained)} weights; bicubic " + " ".join(f"{glance.plain:.2f}" for glance in glances))

    if not run.done:
        run.train(samples, losses, lambda average: "Set5 " + " ".join(f"{glance(average):+.2f}" for glance in glances))


def losses(net, small, large):
    small, large = (part.float().div(255).contiguous(memory_format=torch.channels_last) for part in (small, large))
    return {"charbonnier": charbonnier(net(small), large).mean()}


class Glance:
    """PSNR on Set5, over bicubic, without the border. `harm` is done to what was reduced, `multiple` its sides are of."""

    def __init__(self, media: Path, multiple: int = 2, harm=lambda small: small):
        self.pairs = []
        for path in sorted((media / "sr" / "Set5").glob("*_HR.png")):
            large = np.asarray(Image.open(path).convert("RGB"))
            size = [side // (2 * multiple) * multiple for side in large.shape[1::-1]]
            large = large[: 2 * size[1], : 2 * size[0]]
            self.pairs.append((harm(np.asarray(Image.fromarray(large).resize(size, Image.BICUBIC))), large))
        plain = [np.asarray(Image.fromarray(small).resize(large.shape[1::-1], Image.BICUBIC)) for small, large in self.pairs]
        self.plain = self._mean(plain)

    def _mean(self, made) -> float:
        inside = np.s_[8:-8, 8:-8]
        return float(np.mean([psnr(one[inside], large[inside]) for one, (_, large) in zip(made, self.pairs)]))

    @torch.no_grad()
    def __call__(self, net) -> float:
        made = []
        for small, _ in self.pairs:
            picture = torch.from_numpy(small.transpose(2, 0, 1)[None] / np.float32(255)).float()
            made.append((net(picture).clamp(0, 1)[0] * 255).round().permute(1, 2, 0).numpy())
        return self._mean(made) - self.plain


if __name__ == "__main__":
    main()
