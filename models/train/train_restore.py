"""Trains `facesr-restore-x2`, the upscaler of old and compressed video.

    python train_restore.py [--config facesr-restore-x2.toml] [--media DIR] [--data DIR] [--work DIR]

Goes on from its checkpoint in the work folder. `export.py restore` makes the ONNX file of it.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch

from footage import Footage, harmed
from loop import Log, Run, seed_all
from losses import charbonnier
from nets import RestoreNet
from train_live import Glance

HERE = Path(__file__).resolve().parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = HERE.parents[2] / "shared"
    options.add_argument("--config", type=Path, default=HERE / "facesr-restore-x2.toml")
    options.add_argument("--media", type=Path, default=shared / "media")
    options.add_argument("--data", type=Path, default=shared / "faces_train")
    options.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "train" / "restore")
    options = options.parse_args()
    config = tomllib.loads(options.config.read_text())
    log = Log(options.work)
    torch.set_num_threads(1)
    seed_all(config["seed"])
    (stage,) = config["stage"]
    samples = Footage(options.media, options.data, config["seed"], stage["steps"] * stage["batch"])
    log("stills: {} frames, {} photographs, {} packaged pictures, {} faces".format(*map(len, samples.sets)))
    net = RestoreNet(**config["net"]).to(memory_format=torch.channels_last)
    run = Run(net, stage, options.work, stage["name"], log)
    glances = [Glance(options.media, net.multiple, harm) for harm in (lambda small: small, *map(some_harm, range(3)))]
    log(f"{sum(weight.numel() for weight in run.trained)} weights; bicubic " + " ".join(f"{glance.plain:.2f}" for glance in glances))

    if not run.done:
        run.train(samples, losses, lambda average: "Set5 " + " ".join(f"{glance(average):+.2f}" for glance in glances))


def some_harm(number: int):
    """The same to every picture, each time."""
    return lambda small: harmed(small, np.random.default_rng(number))


def losses(net, small, large):
    """In bfloat16, which is twice as fast where the processor multiplies it; the weights are of 32 bits."""
    small, large = (part.flatten(0, 1).float().div(255).contiguous(memory_format=torch.channels_last) for part in (small, large))
    with torch.autocast("cpu", torch.bfloat16):
        made = net(small)
    return {"charbonnier": charbonnier(made.float(), large).mean()}


if __name__ == "__main__":
    main()
