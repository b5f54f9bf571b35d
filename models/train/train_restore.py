"""Trains `facesr-restore-x2`, the upscaler of old and compressed video.

    python train_restore.py [--config facesr-restore-x2.toml] [--media DIR] [--data DIR] [--cache DIR] [--work DIR]

Goes on from its checkpoint in the work folder. `export.py restore` makes the ONNX file of it.
"""

import numpy as np
import torch

from footage import LUMA, Footage, harmed
from losses import charbonnier
from nets import RestoreNet
from train_live import Glance, train


# How far a picture is moved, down and across: by odd numbers, since a fold is two pixels. Where a pixel lies in its
# fold must not be seen in the output: along edges it would leave dots, and flicker where they move.
STEPS = [(1, 0), (0, 1), (1, 1)]

# What its square counts for: dots that are seen (20 levels) as much as errors, differences of a level or two hardly.
UNMOVED = 24

# What the border, over which the picture comes back in, reaches of the output.
BORDER = 24


def main() -> None:
    def samples(options, *which):
        return Footage(options.media, options.data, options.cache / "landscapes", *which)

    train(__doc__, "restore", samples, RestoreNet, losses, glances)


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
        made = net(small).float()
        step = STEPS[torch.randint(len(STEPS), ())]
        some = len(small) // 2
        moved = torch.roll(net(torch.roll(small[:some], step, (2, 3))).float(), [-2 * way for way in step], (2, 3))
    inside = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return {
        "charbonnier": charbonnier(made, large).mean(),
        "colours": charbonnier(colours(made), colours(large)).mean(),
        "moved": UNMOVED * (moved[inside] - made[:some][inside]).square().mean(),
    }


def colours(picture):
    """Without the brightness, whose errors are larger: by the sign of the sum, nothing is learnt of the colours."""
    return picture - (picture * picture.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)


if __name__ == "__main__":
    main()
