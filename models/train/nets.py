"""The networks of this project."""

import torch
from torch import nn
from torch.nn import functional as F

# Slope of a LeakyReLU below zero.
SLOPE = 0.1

# What a head says is made so much smaller: features are of the size of 1, corrections of some hundredths,
# and an optimiser that moves every weight alike would overshoot with every step.
GAIN = 0.1


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    nn.init.zeros_(layer.bias)
    return layer


def silent(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that starts by adding nothing."""
    nn.init.zeros_(layer.weight)
    return layer


def quiet(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that starts by adding little, so that what is before it learns from the first step."""
    with torch.no_grad():
        layer.weight.mul_(0.2)
    return layer


def act(value):
    return F.leaky_relu(value, SLOPE)


class Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv(width, width), quiet(conv(width, width))

    def forward(self, value):
        return value + self.second(act(self.first(act(value))))


class FaceNet(nn.Module):
    """Aligned faces: a UNet under a pixel-unshuffle of 4, with two heads on one trunk.

    output = input + faithful + strength * (1 - fidelity) * detail, so that the faithful point is the
    same whatever the other head learns. As faces are aligned, each place has features of its own, learnt
    like weights and added on the way down: what is usually seen there. Values are -1..1.
    """

    FOLD, SIDE = 4, 256

    # Side of the neighbourhood in which a grid is looked for, in folds.
    NEAR = 5

    def __init__(self, widths=(32, 64, 128, 192), down=(0, 1, 1, 2), up=(1, 1, 1), detail=1, strength=1.0):
        super().__init__()
        self.strength = strength
        pixels = 3 * self.FOLD**2
        self.enter = conv(pixels, widths[0])
        self.down = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, down))
        pairs = list(zip(widths, widths[1:]))
        self.smaller = nn.ModuleList(conv(wide, wider, stride=2) for wide, wider in pairs)
        self.places = nn.ParameterList(
            torch.zeros(1, wider, *[self.SIDE // self.FOLD >> level] * 2) for level, wider in enumerate(widths[1:], 1)
        )
        self.larger = nn.ModuleList(conv(wider, wide * 4, kernel=1) for wide, wider in pairs)
        self.up = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, up))
        self.faithful = silent(conv(widths[0], pixels))
        # 1 2 2 2 1: nothing of period 4 or 2 passes, and little of what is near.
        line = torch.tensor([1.0, 2.0, 2.0, 2.0, 1.0]) / 8
        self.register_buffer("smooth", torch.outer(line, line).expand(3, 1, 5, 5).clone(), persistent=False)
        self.detail = nn.Sequential(_blocks(widths[0], detail), nn.LeakyReLU(SLOPE), silent(conv(widths[0], pixels)))

    def trunk(self, picture):
        value, kept = self.enter(F.pixel_unshuffle(picture, self.FOLD)), []
        for index, blocks in enumerate(self.down):
            value = blocks(value)
            if index < len(self.smaller):
                kept.append(value)
                value = self.smaller[index](act(value)) + self.places[index]
        for index in reversed(range(len(self.smaller))):
            value = kept[index] + F.pixel_shuffle(self.larger[index](act(value)), 2)
            value = self.up[index](value)
        return value

    def faithful_of(self, picture, features):
        return picture + self._unfolded(self.faithful(act(features)))

    def detail_of(self, features):
        """Smoothed, as along edges the head would leave dots of the fold's period."""
        return F.conv2d(self._unfolded(self.detail(features)), self.smooth, padding=2, groups=3)

    def forward(self, picture, fidelity):
        features = self.trunk(picture)
        share = self.strength * (1 - fidelity.reshape(1, 1, 1, 1))
        return self.faithful_of(picture, features) + share * self.detail_of(features)

    def _unfolded(self, added):
        """What is added, in pixels, without the grid.

        Whatever the places of a fold have in common over a neighbourhood repeats every FOLD pixels: that part
        is made the same for all places, so that no grid is left. Faces have next to nothing of just that period.
        """
        near = F.avg_pool2d(added, self.NEAR, 1, self.NEAR // 2, count_include_pad=False)
        places = near.unflatten(1, (3, self.FOLD**2))
        grid = (places - places.mean(2, keepdim=True)).flatten(1, 2)
        return GAIN * F.pixel_shuffle(added - grid, self.FOLD)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


class LiveNet(nn.Module):
    """Video twice as large, on a processor: plain convolutions under a pixel-unshuffle of 2.

    output = Catmull-Rom of the input + what the network adds to the brightness, the same in
    red, green and blue. Both leave through one pixel-shuffle of 4. Values are 0..1, height
    and width multiples of 2.
    """

    def __init__(self, width: int = 32, layers: int = 6):
        super().__init__()
        widths = [12] + [width] * (layers - 1) + [16]
        self.layers = nn.ModuleList(conv(*pair) for pair in zip(widths, widths[1:]))
        self.layers[0].padding = (0, 0)  # its border is of the picture's own pixels
        silent(self.layers[-1])
        self.register_buffer("plain", enlarging())

    def forward(self, picture):
        folded = F.pixel_unshuffle(F.pad(picture, (2, 2, 2, 2), mode="replicate"), 2)
        value = folded
        for layer in self.layers[:-1]:
            value = F.relu(layer(value))
        added = self.layers[-1](value)
        plain = F.conv2d(folded, self.plain)
        return F.pixel_shuffle(plain + GAIN * added.repeat(1, 3, 1, 1), 4)


class RestoreNet(nn.Module):
    """Old and compressed video twice as large: a UNet under a pixel-unshuffle of 2.

    output = Catmull-Rom of the input + what the network adds, in all three colours: compression harms colours
    most. Noise and blocks are told from the picture by what is around them, which the smaller levels see at
    little cost. Values are 0..1, height and width multiples of `multiple`.
    """

    FOLD, SCALE = 2, 2

    def __init__(self, widths=(64, 96, 128), down=(1, 2, 3), up=(2, 2)):
        super().__init__()
        pairs = list(zip(widths, widths[1:]))
        self.enter = conv(3 * self.FOLD**2, widths[0])
        self.enter.padding = (0, 0)  # its border is of the picture's own pixels
        self.down = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, down))
        self.smaller = nn.ModuleList(conv(wide, wider, stride=2) for wide, wider in pairs)
        self.larger = nn.ModuleList(conv(wider, wide * 4, kernel=1) for wide, wider in pairs)
        self.up = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, up))
        self.leave = silent(conv(widths[0], 3 * (self.FOLD * self.SCALE) ** 2))
        self.register_buffer("plain", enlarging())

    @property
    def multiple(self) -> int:
        return self.FOLD * 2 ** len(self.smaller)

    def forward(self, picture):
        folded = F.pixel_unshuffle(F.pad(picture, (2, 2, 2, 2), mode="replicate"), self.FOLD)
        value, kept = self.enter(folded), []
        for index, blocks in enumerate(self.down):
            value = blocks(value)
            if index < len(self.smaller):
                kept.append(value)
                value = self.smaller[index](act(value))
        for index in reversed(range(len(self.smaller))):
            value = kept[index] + F.pixel_shuffle(self.larger[index](act(value)), 2)
            value = self.up[index](value)
        plain = F.conv2d(folded, self.plain)
        return F.pixel_shuffle(plain + GAIN * self.leave(act(value)), self.FOLD * self.SCALE)


def enlarging(fold: int = 2, scale: int = 2):
    """Catmull-Rom x2 as a convolution of 3x3 between folded pictures, [48, 12, 3, 3]."""
    large, reach = fold * scale, 3 * fold
    # Column p of row q: the share of pixel p of three folded ones in enlarged pixel q of the middle one.
    line = torch.zeros(large, reach)
    for at in range(large):
        place = fold + (at + 0.5) / scale - 0.5
        for pixel in range(reach):
            line[at, pixel] = _catmull_rom(abs(place - pixel))
    weight = torch.zeros(3, large, large, 3, fold, fold, 3, 3)
    both = torch.einsum("ap,bq->abpq", line, line).reshape(large, large, 3, fold, 3, fold)
    for colour in range(3):
        weight[colour, :, :, colour] = both.permute(0, 1, 3, 5, 2, 4)
    return weight.reshape(3 * large**2, 3 * fold**2, 3, 3)


def _catmull_rom(distance: float) -> float:
    if distance >= 2:
        return 0.0
    if distance >= 1:
        return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return (1.5 * distance - 2.5) * distance**2 + 1
