"""Reductions of pictures as convolutions.

Networks for x2 or x3 that are made of one for x4 reduce what they made, which ONNX
Runtime's Resize does on one thread: a quarter of their time. By a half or three
quarters, say, all pixels of the result are the same few sums of the pixels around
them, over and over: a convolution with a step.
"""

from fractions import Fraction
from math import floor
from typing import Callable, Dict

import numpy as np

# Steps larger than this are left to Resize: kernels grow with them.
LARGEST_STEP = 4


def linear(distance: float) -> float:
    return max(1.0 - abs(distance), 0.0)


def cubic(sharpness: float) -> Callable[[float], float]:
    """The kernel of Keys (1981)."""

    def kernel(distance: float) -> float:
        d = abs(distance)
        if d <= 1:
            return ((sharpness + 2) * d - (sharpness + 3)) * d * d + 1
        return sharpness * (((d - 5) * d + 8) * d - 4) if d < 2 else 0.0

    return kernel


def step(scale: float) -> Fraction:
    """The scale as pixels made of so many, or 0 where it is no reduction by a small step."""
    fraction = Fraction(scale).limit_denominator(LARGEST_STEP)
    return fraction if fraction < 1 and abs(fraction - scale) < 1e-6 else Fraction(0)


def weights(kernel: Callable[[float], float], reach: int, scale: Fraction) -> Dict[str, object]:
    """A convolution that makes `scale` pixels of one, each way: its weights [phases, 1, rows, columns], its stride and how far it
    reads beyond the border. `reach` is half the width of the kernel in pixels.
    """
    phases, stride = scale.numerator, scale.denominator
    centres = [(at + 0.5) / float(scale) - 0.5 for at in range(phases)]
    # The first and the last pixel that counts for any of them, and all that are stepped over.
    first = min(0, *(floor(centre) - reach + 1 for centre in centres))
    last = max(stride - 1, *(floor(centre) + reach for centre in centres))
    line = np.array([[kernel(at - centre) for at in range(first, last + 1)] for centre in centres])
    both = np.einsum("iy,jx->ijyx", line, line).reshape(phases**2, 1, *[last + 1 - first] * 2)
    return {"weights": both.astype(np.float32), "stride": stride, "pads": (-first, last + 1 - stride)}
