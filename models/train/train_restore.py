"""Trains `facesr-restore-x2`, the upscaler of old and compressed video.

    python train_restore.py [--config facesr-restore-x2.toml] [--media DIR] [--data DIR] [--work DIR]

Goes on from its checkpoint in the work folder. `export.py restore` makes the ONNX file of it.
"""

import numpy as np
import torch

from footage import Footage, harmed
from losses import charbonnier
from nets import RestoreNet
from train_live import Glance, train


def main() -> None:
    train(__doc__, "restore", Footage, RestoreNet, losses, glances)


def glances(media):
    """At good pictures, and at three harms."""
    harms = (lambda small: small, *map(some_harm, range(3)))
    return [Glance(media, RestoreNet().multiple, harm) for harm in harms]


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
