"""Builds the ST-LPIPS network (AlexNet) as an ONNX file from its published weights.

Ghildyal and Liu, "Shift-tolerant perceptual similarity metric" (2022): LPIPS
(Zhang et al., 2018) on an AlexNet whose strides are replaced by blurs. The
graph is written from the papers' description; of the package only the weights
are read.

Takes `test` and `truth`, RGB 0..1, NCHW, as many of one as of the other and of
any same height and width from MIN_SIDE on, and gives `distance`, one number a
pair, 0 for the same picture. The same weights give the same bytes, every time.

    python stlpips_to_onnx.py WEIGHTS.pth NETWORK.onnx
"""

import sys
from typing import Dict, List

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from torch_reader import TorchError, read

OPSET = 17
IR_VERSION = 8

# Smallest side that leaves the last blur three pixels, which it needs to mirror two.
MIN_SIDE = 21

# Added to the length of a feature vector before dividing by it.
EPSILON = 1e-10

# The network, slice by slice: after each, features are compared. A convolution
# has the name of its weights and its padding; a blur its channels.
SLICES = (
    (("conv", "net.slice1.0", 2), ("blur", 64), ("relu",)),
    (("pool",), ("blur", 64), ("conv", "net.slice2.5", 2), ("relu",)),
    (("pool",), ("blur", 192), ("conv", "net.slice3.9", 1), ("relu",)),
    (("conv", "net.slice4.11", 1), ("relu",)),
    (("conv", "net.slice5.13", 1), ("relu",)),
)


def convert(weights: bytes) -> bytes:
    """Returns the ONNX file for the contents of the package's .pth file."""
    graph = _Graph(read(weights))
    parts = []
    for index, (test, truth) in enumerate(zip(graph.features("test"), graph.features("truth"))):
        difference = graph.add("Sub", [test, truth])
        squared = graph.add("Mul", [difference, difference])
        weighted = graph.add("Conv", [squared, graph.weight(f"lin{index}.model.1.weight")])
        parts.append(graph.add("ReduceMean", [weighted], axes=[1, 2, 3], keepdims=0))
    graph.add("Sum", parts, "distance")
    return graph.finish()


class _Graph:
    def __init__(self, tensors: Dict[str, np.ndarray]):
        self.tensors = tensors
        self.nodes: List[NodeProto] = []
        self.constants: Dict[str, TensorProto] = {}

    def add(self, kind: str, inputs: List[str], output: str = "", **attributes) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str) -> str:
        if name not in self.tensors:
            raise TorchError(f"the file has no {name}")
        return self.constant(name, self.tensors[name])

    def features(self, picture: str) -> List[str]:
        """The feature maps of an input after each slice, every pixel's vector of length 1."""
        # 0..1 to -1..1, then shifted and scaled, colour by colour.
        shift, scale = self.tensors["scaling_layer.shift"], self.tensors["scaling_layer.scale"]
        gain = self.add("Mul", [picture, self.constant("gain", 2 / scale)])
        value = self.add("Sub", [gain, self.constant("offset", (1 + shift) / scale)])
        found = []
        for layers in SLICES:
            for kind, *options in layers:
                value = getattr(self, f"_{kind}")(value, *options)
            squares = self.add("ReduceSum", [self.add("Mul", [value, value]), self.constant("channels", np.array([1]))])
            length = self.add("Add", [self.add("Sqrt", [squares]), self.constant("epsilon", np.float32(EPSILON))])
            found.append(self.add("Div", [value, length]))
        return found

    def _conv(self, value: str, name: str, padding: int) -> str:
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("Conv", [value, weight, bias], pads=[padding] * 4)

    def _blur(self, value: str, channels: int) -> str:
        """Binomial 3x3 at every second pixel, after mirroring two pixels at each border."""
        pads = self.constant("mirror", np.array([0, 0, 2, 2, 0, 0, 2, 2]))
        row = np.array([1, 2, 1], np.float32) / 4
        weight = self.constant(f"blur{channels}", np.tile(np.outer(row, row), (channels, 1, 1, 1)))
        mirrored = self.add("Pad", [value, pads], mode="reflect")
        return self.add("Conv", [mirrored, weight], strides=[2, 2], group=channels)

    def _pool(self, value: str) -> str:
        return self.add("MaxPool", [value], kernel_shape=[3, 3])

    def _relu(self, value: str) -> str:
        return self.add("Relu", [value])

    def finish(self) -> bytes:
        picture = ["batch", 3, "height", "width"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, picture) for name in ("test", "truth")]
        output = helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["batch"])
        graph = helper.make_graph(self.nodes, "st-lpips-alex", inputs, [output], list(self.constants.values()))
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="facesr", opset_imports=opset, ir_version=IR_VERSION)
        return model.SerializeToString(deterministic=True)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: stlpips_to_onnx.py WEIGHTS.pth NETWORK.onnx", file=sys.stderr)
        return 2
    try:
        with open(sys.argv[1], "rb") as file:
            result = convert(file.read())
        with open(sys.argv[2], "wb") as file:
            file.write(result)
    except (TorchError, OSError) as error:
        print(f"stlpips_to_onnx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
