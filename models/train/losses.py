"""What the networks are told to be good at."""

import torch
from torch.nn import functional as F


def charbonnier(made, truth, epsilon: float = 1e-3):
    """Nearly the absolute error, smooth at zero; one number a sample."""
    return torch.sqrt((made - truth) ** 2 + epsilon**2).mean(dim=(1, 2, 3))


def decibels(made, truth, sharp, least: float = 6e-3):
    """The logarithm of the squared error: what PSNR is of, so that faces in good and bad state count alike.

    Errors well below `least` (28 dB, for values -1..1) hardly count: faces that are nearly good outweigh all others
    otherwise, and the network learns to do nothing. A truth that is not sharp judges no detail finer than two pixels.
    """
    fine = (made - truth).square().mean(dim=(1, 2, 3))
    coarse = (F.avg_pool2d(made, 2) - F.avg_pool2d(truth, 2)).square().mean(dim=(1, 2, 3))
    return torch.log(torch.where(sharp > 0, fine, coarse) + least).mean()


def unsteady(frames, moved):
    """How much two frames of one face differ, which have noise of their own, once the second is moved back.

    `frames` is [N, 2, 3, H, W]. The borders, which the movement brings in, are left out.
    """
    total, border = 0.0, 16
    for (first, second), step in zip(frames, moved):
        back = torch.roll(second, (-int(step[0]), -int(step[1])), (-2, -1))
        total = total + (back - first)[..., border:-border, border:-border].abs().mean()
    return total / len(frames)
