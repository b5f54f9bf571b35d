"""Measures what a sidecar says about an upscaler: overlap and memory.

    python measure.py NET.onnx PICTURE.png...

Needs onnxruntime and pillow besides numpy (tests/python/requirements.txt).

Overlap: a tile is cut out of the picture with some pixels of context around
it and run alone; inside, its result is compared with that of the whole
picture. Memory: the peak of a fresh process, at two sizes, per input pixel.
"""

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
from PIL import Image

# Context tried, in pixels of the small picture.
CONTEXTS = (4, 8, 12, 16, 20, 24, 32, 48, 64, 80)

# Side of a tile without its context, and of the picture it is cut from: that
# one has a little more around the tile than the largest context.
TILE = 24
PICTURE = TILE + 2 * 88

# Sides of the pictures that memory is measured with.
MEMORY_SIDES = (160, 256)


def open_session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, picture: np.ndarray) -> np.ndarray:
    return session.run(None, {session.get_inputs()[0].name: picture})[0]


def read_picture(path: str) -> np.ndarray:
    picture = Image.open(path).convert("RGB")
    if min(picture.size) < PICTURE:
        factor = PICTURE / min(picture.size)
        picture = picture.resize([max(PICTURE, round(side * factor)) for side in picture.size], Image.BICUBIC)
    left, top = ((side - PICTURE) // 2 for side in picture.size)
    picture = picture.crop((left, top, left + PICTURE, top + PICTURE))
    return np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255


def seams(session: onnxruntime.InferenceSession, picture: np.ndarray) -> dict:
    """The largest difference inside a tile, in 1/255, for each context."""
    whole = run(session, picture)
    scale = whole.shape[2] // picture.shape[2]
    start = (PICTURE - TILE) // 2
    inside = whole[..., start * scale : (start + TILE) * scale, start * scale : (start + TILE) * scale]
    result = {}
    for context in CONTEXTS:
        first, last = start - context, start + TILE + context
        tile = run(session, np.ascontiguousarray(picture[..., first:last, first:last]))
        cut = tile[..., context * scale : (context + TILE) * scale, context * scale : (context + TILE) * scale]
        result[context] = float(np.abs(cut - inside).max() * 255)
    return result


def memory_of_run(path: str, side: int) -> int:
    """How far a fresh process grows, in bytes, while it runs one picture of this size."""
    code = "import sys, measure; print(measure.growth(sys.argv[1], int(sys.argv[2])))"
    command = [sys.executable, "-c", code, path, str(side)]
    folder = os.path.dirname(os.path.abspath(__file__))
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout)


def growth(path: str, side: int) -> int:
    session = open_session(os.path.abspath(path))
    picture = np.full((1, 3, side, side), 0.5, np.float32)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from what is held now
    before = status_bytes("VmRSS")
    run(session, picture)
    return status_bytes("VmHWM") - before


def status_bytes(key: str) -> int:
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(key)]
    return int(line.split()[1]) * 1024


def main() -> None:
    path, pictures = sys.argv[1], sys.argv[2:]
    session = open_session(path)
    for name in pictures:
        print(json.dumps({name: seams(session, read_picture(name))}), flush=True)
    path = os.path.abspath(path)
    for side in MEMORY_SIDES:
        print(f"memory per pixel at {side}x{side}: {memory_of_run(path, side) / side**2:.0f} bytes", flush=True)


if __name__ == "__main__":
    main()
