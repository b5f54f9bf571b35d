"""The element against Python's ONNX Runtime on the same file, and against bicubic."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("FACESR_CACHE_DIR") or Path.home() / ".cache/facesr")
PLUGIN = Path(os.environ.get("FACESR_PLUGIN_DIR") or ROOT / "target/release/plugin")
PAIRS = ROOT.parent / "shared/media/pairs"

# Spread over the clip.
FRAMES = 6


def gst(*words: object) -> None:
    """Runs gst-launch-1.0 with the built plugin."""
    environment = {**os.environ, "GST_PLUGIN_PATH": str(PLUGIN), "FACESR_CACHE_DIR": str(CACHE)}
    run = subprocess.run(
        ["gst-launch-1.0", "-q", *map(str, words)], env=environment, capture_output=True, text=True
    )
    if run.returncode or "ERROR" in run.stderr:
        raise AssertionError(f"{' '.join(map(str, words))}\n{run.stderr}")


def decode(clip: Path, width: int, height: int) -> np.ndarray:
    """Frames of a clip as [n, height, width, 3] in 0..255."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        caps = f"video/x-raw,format=RGB,width={width},height={height}"
        gst("filesrc", f"location={clip}", "!", "decodebin", "!", "videoconvert", "!", caps,
            "!", "filesink", f"location={raw}")
        frames = np.fromfile(raw, np.uint8).reshape(-1, height, width, 3)
    return frames[np.linspace(0, len(frames) - 1, FRAMES).astype(int)]


def element(frames: np.ndarray, model: str) -> np.ndarray:
    """What facesr makes of RGB frames."""
    count, height, width, _ = frames.shape
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        # Rows of RGB frames are padded to four bytes.
        stride = -(-width * 3 // 4) * 4
        padded = np.zeros((count, height, stride), np.uint8)
        padded[:, :, : width * 3] = frames.reshape(count, height, width * 3)
        padded.tofile(before)
        gst("filesrc", f"location={before}", f"blocksize={padded[0].size}", "!",
            f"video/x-raw,format=RGB,width={width},height={height},framerate=25/1", "!",
            "facesr", f"model={model}", "execution-provider=cpu", "temporal-mode=off", "face-mode=off", "!",
            "filesink", f"location={after}")
        made = np.fromfile(after, np.uint8)
    scale = int(round((made.size / frames.size) ** 0.5))
    stride = -(-width * scale * 3 // 4) * 4
    made = made.reshape(count, height * scale, stride)[:, :, : width * scale * 3]
    return made.reshape(count, height * scale, width * scale, 3)


def onnx(frames: np.ndarray, model: str) -> np.ndarray:
    """What Python's ONNX Runtime makes of RGB frames."""
    session = onnxruntime.InferenceSession(str(CACHE / f"models/{model}.onnx"), providers=["CPUExecutionProvider"])
    made = []
    for frame in frames:
        picture = frame.astype(np.float32).transpose(2, 0, 1)[None] / 255
        result = session.run(None, {"input": picture})[0][0].transpose(1, 2, 0)
        made.append(np.clip(np.rint(result * 255), 0, 255).astype(np.uint8))
    return np.stack(made)


def resize(frames: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.stack([np.array(Image.fromarray(f).resize((width, height), Image.BICUBIC)) for f in frames])


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Mean over frames, luma (ITU-R BT.601), dB."""
    weights = np.array([0.299, 0.587, 0.114])
    errors = ((frames @ weights - truth @ weights) ** 2).mean(axis=(1, 2))
    return float(np.mean(10 * np.log10(255**2 / errors)))


def clips():
    """Ground truth: pairs where they are, else the clip that `make setup` fetches."""
    sizes = {"bikes": (480, 272), "carphone": (176, 144), "cut": (480, 272), "foreman": (352, 288)}
    pairs = [(PAIRS / f"{name}.gt.mkv", *size) for name, size in sizes.items()]
    found = [pair for pair in pairs if pair[0].exists()]
    return found or [(CACHE / "media/carphone_pristine.mp4", 176, 144)]


class Quality(unittest.TestCase):
    def test_the_element_gives_what_python_gives_and_beats_bicubic(self):
        for clip, width, height in clips():
            with self.subTest(clip=clip.name):
                truth = decode(clip, width, height)
                small = resize(truth, width // 2, height // 2)
                ours = element(small, "span-x2")
                theirs = onnx(small, "span-x2")
                difference = int(np.abs(ours.astype(int) - theirs.astype(int)).max())
                network, bicubic = psnr(ours, truth), psnr(resize(small, width, height), truth)
                print(
                    f"{clip.name}: span-x2 {network:.2f} dB, bicubic {bicubic:.2f} dB, "
                    f"at most {difference} of 255 from Python",
                    file=sys.stderr,
                )
                self.assertLessEqual(difference, 1)
                self.assertGreater(network, bicubic)


if __name__ == "__main__":
    unittest.main()
