#!/usr/bin/env python3
"""How far networks in 16-bit floats are from those in 32: a table for README.md.

    python models/fp16.py --cache FOLDER [--program target/release/facesr] [--picture FILE] [--networks NAME,...]

By two ways. *Program*: `facesr enhance --precision fp16` and `fp32` on the CPU provider, whose pictures of 8 bits are compared;
the provider has no arithmetic of 16 bits and may keep more digits between nodes than a GPU does. *Every tensor*: the network
in 32 bits, with every constant and whatever a node makes rounded to 16, which is the least that a GPU keeps whose
sums are in 32 bits; compared before rounding to levels. Exits with 1 where either is below 50 dB. Needs
tests/python/requirements.txt.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = "span-x2,span-x4,facesr-restore-x2,facesr-live-x2,animevideo-x2,animevideo-x3,animevideo-x4,realesrgan-x4plus"
LEAST = 50.0
# The frame of the fetched clip that the demo shows, too.
FRAME = 40


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every float constant and every tensor that a node makes, rounded to 16 bits and carried on in 32."""
    model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    floats = {info.name for info in [*graph.value_info, *graph.output] if info.type.tensor_type.elem_type == TensorProto.FLOAT}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes = []
    for name in [info.name for info in graph.input]:
        nodes += casts(name, f"{name}/rounded")
    renamed = {info.name: f"{info.name}/rounded" for info in graph.input}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        nodes.append(node)
        for at, name in enumerate(node.output):
            if name in floats:
                node.output[at] = f"{name}/exact"
                nodes += casts(node.output[at], name)
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def casts(name: str, to: str) -> list:
    half = f"{to}/half"
    return [
        helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [to], to=TensorProto.FLOAT),
    ]


def run(model: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # Optimising would take the casts for nothing.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = picture.transpose(2, 0, 1)[None].astype(np.float32) / 255
    (made,) = session.run(None, {session.get_inputs()[0].name: values})
    return made.clip(0, 1) * 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(np.float64) - b) ** 2), 1e-12)))


def by_program(program: Path, picture: Path, network: str, folder: Path) -> tuple:
    made = []
    for precision in ("fp32", "fp16"):
        out = folder / f"{precision}.png"
        command = [program, "enhance", picture, out, "--overwrite", "--model", network, "--execution-provider", "cpu"]
        command += ["--precision", precision, "--temporal-mode", "off", "--face-mode", "off"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"fp16: {network} in {precision}: {done.stderr.strip()}")
        made.append(cv2.imread(str(out)))
    return psnr(*made), int(np.abs(made[0].astype(int) - made[1]).max())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--program", type=Path, default=ROOT / "target/release/facesr")
    options.add_argument("--picture", type=Path)
    options.add_argument("--networks", default=NETWORKS)
    options = options.parse_args()
    below = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = options.picture or folder / "picture.png"
        if not options.picture:
            clip = cv2.VideoCapture(str(options.cache / "media/carphone_pristine.mp4"))
            clip.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
            cv2.imwrite(str(file), clip.read()[1])
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        print(f"| network, {picture.shape[1]}x{picture.shape[0]} | program | largest, levels | every tensor rounded | largest |")
        print("|---|---|---|---|---|")
        for network in options.networks.split(","):
            model = onnx.load(options.cache / f"models/{network}.onnx")
            exact, coarse = run(model, picture), run(rounded(model), picture)
            whole, most = by_program(options.program, file, network, folder)
            every, largest = psnr(exact, coarse), float(np.abs(exact - coarse).max())
            print(f"| `{network}` | {whole:.1f} dB | {most} | {every:.1f} dB | {largest:.1f} |", flush=True)
            if min(whole, every) < LEAST:
                below.append(network)
    if below:
        sys.exit(f"fp16: below {LEAST:g} dB: {', '.join(below)}")


if __name__ == "__main__":
    main()
