"""A trained upscaler in whole numbers of 8 bits (QDQ), calibrated on pictures, with its sidecar.

    python quantise.py NETWORK.onnx RESULT.onnx [--media DIR] [--data DIR]
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from export import IR_VERSION, live, sidecar
from stills import Stills

HERE = Path(__file__).resolve().parent

# Small pictures that the ranges are taken from.
CALIBRATION = 64


class Reader(CalibrationDataReader):
    def __init__(self, samples, count: int):
        self.left = iter([samples[number][0] for number in range(count)])

    def get_next(self):
        small = next(self.left, None)
        return None if small is None else {"input": small[None].astype(np.float32) / 255}


def quantised(network: Path, result: Path, samples) -> None:
    """Convolutions only; the one that enlarges plainly, which all of the picture goes through, stays exact.

    Without VNNI the products of unsigned and signed bytes are added in pairs in 16 bits and saturate,
    which weights of 7 bits avoid.
    """
    ready = result.with_suffix(".ready.onnx")
    quant_pre_process(str(network), str(ready), skip_symbolic_shape=True)
    convolutions = [node for node in onnx.load(ready).graph.node if node.op_type == "Conv"]
    plain = [node.name for node in convolutions if "plain" in node.input[1]]
    if len(plain) != 1:
        raise SystemExit(f"{network} has {len(plain)} convolutions that enlarge plainly instead of one")
    quantize_static(
        str(ready), str(result), Reader(samples, CALIBRATION), quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"], per_channel=True, reduce_range=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        nodes_to_exclude=plain,
    )
    ready.unlink()
    # Nothing of the machine that made it.
    model = onnx.load(result)
    model.producer_name, model.producer_version, model.ir_version = "facesr", "", IR_VERSION
    del model.metadata_props[:]
    data = model.SerializeToString(deterministic=True)
    result.write_bytes(data)
    Path(f"{result}.modelinfo").write_text(sidecar(result.stem, live(len(convolutions) - len(plain)), data))
    print(f"{result}: {len(data)} bytes")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = HERE.parents[2] / "shared"
    options.add_argument("network", type=Path)
    options.add_argument("result", type=Path)
    options.add_argument("--media", type=Path, default=shared / "media")
    options.add_argument("--data", type=Path, default=shared / "faces_train")
    options = options.parse_args()
    quantised(options.network, options.result, Stills(options.media, options.data, 1, CALIBRATION))


if __name__ == "__main__":
    main()
