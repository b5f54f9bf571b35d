"""A trained network as an ONNX file: checked against PyTorch, weights halved, described in a sidecar.

    python export.py face|live|restore CHECKPOINT.pt NAME.onnx [--config FILE.toml]
"""

import argparse
import hashlib
import io
import logging
import tomllib
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from nets import FaceNet, LiveNet, RestoreNet

HERE = Path(__file__).resolve().parent
OPSET, IR_VERSION = 17, 8

# ONNX Runtime and PyTorch add in another order; more than this is a mistake.
TOLERANCE = 1e-4

# The largest file that is committed.
LIMIT = 8_000_000

# Below 0 the detail is overdone, for faces that are shown much smaller than they are restored.
FACE = {
    "about": {"role": "face-restorer", "template": "ffhq", "face-heights": "10,20", "invents": "no", "memory-per-pixel": 300},
    "inputs": {"input": ("-1,3,256,256", "-1.0,1.0"), "fidelity": ("1", "-0.75,1.0")},
    "outputs": {"output": ("-1,3,256,256", "-1.0,1.0")},
}

# What each kind is: its class, the names of its file and of its configuration.
KINDS = {"face": (FaceNet, "facesr-face-256"), "live": (LiveNet, "facesr-live-x2"), "restore": (RestoreNet, "facesr-restore-x2")}


def described(net, kind: str) -> dict:
    if kind == "face":
        return FACE
    if kind == "live":
        # Convolutions of 3x3, each of which looks a folded pixel farther, two of the picture.
        radius = 2 * len(net.layers)
        about = {"multiple": 2, "overlap": radius, "receptive-radius": radius, "memory-per-pixel": 300}
    else:
        # What noise there is it tells from afar: see models/README.md.
        about = {"multiple": net.multiple, "overlap": 80, "memory-per-pixel": 350}
    tensor = ("-1,3,-1,-1", "0.0,1.0")
    about = {"role": "upscaler", "scale": 2, **about}
    return {"about": about, "inputs": {"input": tensor}, "outputs": {"output": tensor}}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("kind", choices=KINDS)
    options.add_argument("checkpoint", type=Path)
    options.add_argument("onnx", type=Path)
    options.add_argument("--config", type=Path)
    options = options.parse_args()
    build, name = KINDS[options.kind]
    config = tomllib.loads((options.config or HERE / f"{name}.toml").read_text())
    net = build(**config["net"])
    net.load_state_dict(torch.load(options.checkpoint, weights_only=True)["average"])
    export(net.eval(), options.kind, options.onnx)


def export(net, kind: str, path: Path) -> None:
    """Writes the network and its sidecar, and says how far they are from PyTorch."""
    whole = _face(net) if kind == "face" else _upscaler(net)
    about = described(net, kind)
    samples = _samples(about["about"].get("multiple"))
    worst = max(_difference(net, whole, sample) for sample in samples)
    if worst > TOLERANCE:
        raise SystemExit(f"the ONNX file differs from PyTorch by {worst:.1e}")
    data = halved(whole).SerializeToString(deterministic=True)
    if len(data) > LIMIT:
        raise SystemExit(f"{len(data)} bytes are more than the {LIMIT} that are committed")
    half = max(_difference(net, onnx.load_from_string(data), sample) for sample in samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    Path(f"{path}.modelinfo").write_text(sidecar(path.stem, about, data))
    print(f"{path}: {len(data)} bytes, {worst:.1e} from PyTorch, {half:.1e} with weights of 16 bits")


def _face(net):
    axes = {"input": {0: "batch"}, "output": {0: "batch"}}
    given = (torch.zeros(2, 3, 256, 256), torch.ones(1))
    return _onnx(net, given, ["input", "fidelity"], axes)


def _upscaler(net):
    axes = {name: {0: "batch", 2: f"{name}_height", 3: f"{name}_width"} for name in ("input", "output")}
    return _onnx(net, (torch.zeros(1, 3, 64, 64),), ["input"], axes)


def _onnx(net, given, names, axes):
    """By the exporter that traces: its graph has no node too many and needs no other package."""
    net = net.to(memory_format=torch.contiguous_format)
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        torch.onnx.export(net, given, file, input_names=names, output_names=["output"], dynamic_axes=axes,
                          opset_version=OPSET, dynamo=False)
        logging.disable(logging.NOTSET)
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model)
    model.producer_name, model.producer_version, model.ir_version = "facesr", "", IR_VERSION
    return model


def halved(model):
    """The same network with weights of 16 bits, each cast to 32 where it is used."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, casts = model.graph, []
    for weight in list(graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 64:
            continue
        small = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{weight.name}_half")
        graph.initializer.remove(weight)
        graph.initializer.append(small)
        casts.append(helper.make_node("Cast", [small.name], [weight.name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def _samples(multiple):
    """What is compared: for an upscaler, pictures whose sides are multiples of that."""
    noise = np.random.default_rng(1)
    if multiple is None:
        pictures = noise.uniform(-1, 1, (2, 3, 256, 256)).astype(np.float32)
        return [{"input": pictures, "fidelity": np.array([point], np.float32)} for point in (0.0, 0.4, 1.0)]
    sizes = ([side // multiple * multiple for side in size] for size in ((64, 64), (50, 86)))
    return [{"input": noise.random((1, 3, *size), np.float32)} for size in sizes]


def _difference(net, model, sample) -> float:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = net(*(torch.from_numpy(value) for value in sample.values())).numpy()
    return float(np.abs(session.run(None, sample)[0] - wanted).max())


def sidecar(name: str, what: dict, data: bytes) -> str:
    about = {"version": "1.0", "group-id": name, **what["about"]}
    about |= {"licence": "MIT OR Apache-2.0", "source": "models/train", "sha256": hashlib.sha256(data).hexdigest()}
    groups = ["\n".join(["[modelinfo]", *(f"{key}={value}" for key, value in about.items())])]
    for way, tensors in (("input", what["inputs"]), ("output", what["outputs"])):
        for tensor, (dims, ranges) in tensors.items():
            groups.append(f"[{tensor}]\ntype=float32\ndims={dims}\ndir={way}\nranges={ranges}")
    return "\n\n".join(groups) + "\n"


if __name__ == "__main__":
    main()
