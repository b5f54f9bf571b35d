"""Turns an ncnn upscaler into an ONNX file.

The result takes `input`, RGB 0..1, NCHW with any height and width, and gives
`output`, the same times the scale, clamped to 0..1. Weights that ncnn keeps as
float16 stay float16 in the file, each followed by a Cast: nothing is lost and
the file is half the size. The same input gives the same bytes, every time.

    python ncnn_to_onnx.py NET.param NET.bin NET.onnx
"""

import sys
from typing import Dict, List, Optional

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

import reduction
from ncnn_reader import Layer, NcnnError, kernel_size, read

OPSET = 17
IR_VERSION = 8

# ncnn's bicubic weights use this sharpness, the one of OpenCV and PyTorch.
CUBIC_COEFFICIENT = -0.75


def convert(param: bytes, weights: bytes, inputs: int = 3, outputs: int = 3) -> bytes:
    """Returns the ONNX file for the contents of a .param and a .bin file.

    `inputs` and `outputs` are the numbers of channels, which the files do not tell.
    """
    graph = _Graph()
    for layer in read(param, weights):
        rule = RULES.get(layer.kind)
        if rule is None:
            raise NcnnError(f"layer `{layer.name}`: there is no rule for `{layer.kind}`")
        rule(graph, layer)
    return graph.finish(inputs, outputs)


class _Graph:
    """An ONNX graph that grows node by node, under ncnn's blob names."""

    def __init__(self):
        self.nodes: List[NodeProto] = []
        self.constants: List[TensorProto] = []
        # ncnn blob -> ONNX value. Split layers only add names here.
        self.values: Dict[str, str] = {}
        self.unread: Dict[str, None] = {}
        self.inputs: List[str] = []

    def take(self, blob: str) -> str:
        """The ONNX value that holds `blob`."""
        value = self.values[blob]
        self.unread.pop(value, None)
        return value

    def give(self, blob: str, value: str) -> None:
        """Says that `blob` is held by the ONNX value `value`."""
        self.values[blob] = value
        self.unread[value] = None

    def add(self, kind: str, inputs: List[str], **attributes) -> str:
        """Appends a node with one output and returns the name of that."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(_node(kind, inputs, output, attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        """Stores an array and returns the name of a value that holds it."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        if array.dtype == np.float16:
            return self.add("Cast", [name], to=TensorProto.FLOAT)
        return name

    def made_by(self, value: str) -> Optional[NodeProto]:
        return next((node for node in self.nodes if node.output[0] == value), None)

    def multiple(self, value: str) -> int:
        """What every height and width that a picture can have is a multiple of, as far as is known."""
        node = self.made_by(value)
        if node is None:
            return 1
        if node.op_type == "DepthToSpace":
            return _attribute(node, "blocksize")
        if node.op_type in ("Add", "PRelu", "Relu", "Sigmoid"):
            return self.multiple(node.input[0])
        return 1

    def channels(self, value: str) -> int:
        """How many channels a picture has that a convolution, and what followed it, made."""
        node = self.made_by(value)
        if node is None:
            raise NcnnError(f"the channels of `{value}` are not known")
        if node.op_type == "Conv":
            weights = self.made_by(node.input[1])
            name = weights.input[0] if weights else node.input[1]
            return next(constant.dims[0] for constant in self.constants if constant.name == name)
        return self.channels(node.input[0]) // (_attribute(node, "blocksize") or 1) ** 2

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def finish(self, inputs: int, outputs: int) -> bytes:
        if len(self.inputs) != 1 or len(self.unread) != 1:
            raise NcnnError(f"one input and one output are needed, not {len(self.inputs)} and {len(self.unread)}")
        (last,) = self.unread
        low, high = self.scalar(0.0), self.scalar(1.0)
        self.nodes.append(_node("Clip", [last, low, high], "output", {}))
        graph = GraphProto(name="facesr")
        graph.node.extend(self.nodes)
        graph.initializer.extend(self.constants)
        shape = ["batch", inputs, "height", "width"]
        graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, shape))
        shape = ["batch", outputs, "out_height", "out_width"]
        graph.output.append(helper.make_tensor_value_info("output", TensorProto.FLOAT, shape))
        model = ModelProto(ir_version=IR_VERSION, producer_name="facesr", graph=graph)
        model.opset_import.append(helper.make_opsetid("", OPSET))
        return model.SerializeToString(deterministic=True)


def _node(kind: str, inputs: List[str], output: str, attributes: dict) -> NodeProto:
    """A node whose attributes come in the order of their names."""
    node = NodeProto(op_type=kind, input=inputs, output=[output])
    for name in sorted(attributes):
        attribute: AttributeProto = helper.make_attribute(name, attributes[name])
        node.attribute.append(attribute)
    return node


def _attribute(node: NodeProto, name: str):
    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), None)


# One rule per kind of layer follows.


def _input(graph: _Graph, layer: Layer) -> None:
    graph.inputs.append(layer.outputs[0])
    graph.give(layer.outputs[0], "input")


def _split(graph: _Graph, layer: Layer) -> None:
    value = graph.take(layer.inputs[0])
    for blob in layer.outputs:
        graph.give(blob, value)


def _memory(graph: _Graph, layer: Layer) -> None:
    graph.give(layer.outputs[0], graph.constant(layer.weights["data"]))


def _geometry(layer: Layer) -> dict:
    """The attributes of a convolution: kernel, strides, dilations and pads."""
    dilation, stride = layer.integer(2, 1), layer.integer(3, 1)
    left = layer.integer(4, 0)
    top = layer.integer(14, left)
    pads = [top, left, layer.integer(16, top), layer.integer(15, left)]
    if min(pads) < 0:
        raise NcnnError(f"layer `{layer.name}`: padding to equal size is not supported")
    return {
        "kernel_shape": list(kernel_size(layer)),
        "dilations": [layer.integer(12, dilation), dilation],
        "strides": [layer.integer(13, stride), stride],
        "pads": pads,
        "group": layer.integer(7, 1),
    }


def _convolution(graph: _Graph, layer: Layer) -> None:
    if layer.number(18, 0.0) != 0.0 or layer.integer(19, 0):
        raise NcnnError(f"layer `{layer.name}`: padding with a value and computed weights are not supported")
    inputs = [graph.take(layer.inputs[0]), graph.constant(layer.weights["weight"])]
    if "bias" in layer.weights:
        inputs.append(graph.constant(layer.weights["bias"]))
    _activate(graph, layer, graph.add("Conv", inputs, **_geometry(layer)))


def _deconvolution(graph: _Graph, layer: Layer) -> None:
    if any(layer.integer(key, 0) for key in (18, 19, 20, 21)):
        raise NcnnError(f"layer `{layer.name}`: a chosen output size is not supported")
    weight = layer.weights["weight"].swapaxes(0, 1)
    inputs = [graph.take(layer.inputs[0]), graph.constant(weight)]
    if "bias" in layer.weights:
        inputs.append(graph.constant(layer.weights["bias"]))
    _activate(graph, layer, graph.add("ConvTranspose", inputs, **_geometry(layer)))


def _activate(graph: _Graph, layer: Layer, value: str) -> None:
    """Ends a convolution with the activation that ncnn fused into it."""
    kind = layer.integer(9, 0)
    if kind == 1:
        value = graph.add("Relu", [value])
    elif kind == 2:
        slopes = layer.array(10)
        if len(slopes) != 1:
            raise NcnnError(f"layer `{layer.name}`: a LeakyReLU needs one slope")
        value = graph.add("LeakyRelu", [value], alpha=float(slopes[0]))
    elif kind != 0:
        raise NcnnError(f"layer `{layer.name}`: there is no rule for activation {kind}")
    graph.give(layer.outputs[0], value)


def _prelu(graph: _Graph, layer: Layer) -> None:
    slope = graph.constant(layer.weights["slope"])
    graph.give(layer.outputs[0], graph.add("PRelu", [graph.take(layer.inputs[0]), slope]))


def _relu(graph: _Graph, layer: Layer) -> None:
    value, slope = graph.take(layer.inputs[0]), layer.number(0, 0.0)
    result = graph.add("LeakyRelu", [value], alpha=slope) if slope else graph.add("Relu", [value])
    graph.give(layer.outputs[0], result)


def _sigmoid(graph: _Graph, layer: Layer) -> None:
    graph.give(layer.outputs[0], graph.add("Sigmoid", [graph.take(layer.inputs[0])]))


def _swish(graph: _Graph, layer: Layer) -> None:
    value = graph.take(layer.inputs[0])
    graph.give(layer.outputs[0], graph.add("Mul", [value, graph.add("Sigmoid", [value])]))


def _pixel_shuffle(graph: _Graph, layer: Layer) -> None:
    mode = "DCR" if layer.integer(1, 0) else "CRD"
    value = graph.take(layer.inputs[0])
    graph.give(layer.outputs[0], graph.add("DepthToSpace", [value], blocksize=layer.integer(0, 1), mode=mode))


def _concat(graph: _Graph, layer: Layer) -> None:
    values = [graph.take(blob) for blob in layer.inputs]
    graph.give(layer.outputs[0], graph.add("Concat", values, axis=_axis(layer.integer(0, 0))))


# Interp's parameter 0 -> how ONNX says the same.
_RESIZE = {
    1: dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    2: dict(mode="linear", coordinate_transformation_mode="half_pixel"),
    3: dict(mode="cubic", coordinate_transformation_mode="half_pixel", cubic_coeff_a=CUBIC_COEFFICIENT),
}


def _interp(graph: _Graph, layer: Layer) -> None:
    attributes = _RESIZE.get(layer.integer(0, 0))
    down, across = layer.number(1, 1.0), layer.number(2, 1.0)
    fixed = layer.integer(3, 0) or layer.integer(4, 0) or layer.integer(5, 0) or layer.integer(6, 0)
    if attributes is None or fixed or min(down, across) <= 0:
        raise NcnnError(f"layer `{layer.name}`: only scaling by a factor, nearest, linear or cubic, is supported")
    value = graph.take(layer.inputs[0])
    reduced = _reduced(graph, value, layer.integer(0, 0), down) if down == across else None
    if reduced:
        return graph.give(layer.outputs[0], reduced)
    scales = graph.constant(np.array([1, 1, down, across], np.float32))
    graph.give(layer.outputs[0], graph.add("Resize", [value, "", scales], **attributes))


# Interp's parameter 0 -> the kernel, and half its width, of what a convolution can do as well.
_KERNELS = {2: (reduction.linear, 1), 3: (reduction.cubic(CUBIC_COEFFICIENT), 2)}


def _reduced(graph: _Graph, value: str, kind: int, scale: float) -> Optional[str]:
    """A picture reduced by a convolution, if all sizes that it can have are whole steps of that."""
    step = reduction.step(scale)
    if not step or kind not in _KERNELS or graph.multiple(value) % step.denominator:
        return None
    channels = graph.channels(value)
    made = reduction.weights(*_KERNELS[kind], step)
    before, after = made["pads"]
    pads = graph.constant(np.array([0, 0, before, before, 0, 0, after, after], np.int64))
    padded = graph.add("Pad", [value, pads], mode="edge")
    # Colours are reduced each by itself.
    kernels = graph.constant(np.tile(made["weights"], (channels, 1, 1, 1)))
    strides = [made["stride"]] * 2
    size = list(made["weights"].shape[2:])
    convolved = graph.add("Conv", [padded, kernels], kernel_shape=size, strides=strides, group=channels)
    if step.numerator == 1:
        return convolved
    return graph.add("DepthToSpace", [convolved], blocksize=step.numerator, mode="CRD")


def _eltwise(graph: _Graph, layer: Layer) -> None:
    kind, coefficients = layer.integer(0, 0), layer.array(1)
    operator = {0: "Mul", 1: "Add", 2: "Max"}.get(kind)
    if operator is None or (coefficients and (kind != 1 or len(coefficients) != len(layer.inputs))):
        raise NcnnError(f"layer `{layer.name}`: there is no rule for this Eltwise")
    values = [graph.take(blob) for blob in layer.inputs]
    for index, factor in enumerate(coefficients):
        if factor != 1:
            values[index] = graph.add("Mul", [values[index], graph.scalar(factor)])
    total = values[0]
    for value in values[1:]:
        total = graph.add(operator, [total, value])
    graph.give(layer.outputs[0], total)


# BinaryOp's parameter 0 -> the ONNX operator, and whether its sides are swapped.
_BINARY = {
    0: ("Add", False),
    1: ("Sub", False),
    2: ("Mul", False),
    3: ("Div", False),
    7: ("Sub", True),
    8: ("Div", True),
}


def _binary(graph: _Graph, layer: Layer) -> None:
    kind = layer.integer(0, 0)
    if kind not in _BINARY:
        raise NcnnError(f"layer `{layer.name}`: there is no rule for BinaryOp {kind}")
    operator, swapped = _BINARY[kind]
    values = [graph.take(blob) for blob in layer.inputs]
    if layer.integer(1, 0):
        values.append(graph.scalar(layer.number(2, 0.0)))
    if len(values) != 2:
        raise NcnnError(f"layer `{layer.name}`: a BinaryOp has two sides, not {len(values)}")
    graph.give(layer.outputs[0], graph.add(operator, values[::-1] if swapped else values))


def _crop(graph: _Graph, layer: Layer) -> None:
    starts, ends, axes = layer.array(9), layer.array(10), layer.array(11)
    if not starts or not len(starts) == len(ends) == len(axes):
        raise NcnnError(f"layer `{layer.name}`: only Crop with starts, ends and axes is supported")
    arrays = [starts, ends, [_axis(axis) for axis in axes]]
    constants = [graph.constant(np.array(array, np.int64)) for array in arrays]
    graph.give(layer.outputs[0], graph.add("Slice", [graph.take(layer.inputs[0]), *constants]))


def _warp(graph: _Graph, layer: Layer) -> None:
    """Moves a picture along a flow given in pixels, x first."""
    picture, flow = (graph.take(blob) for blob in layer.inputs)
    integers = lambda *values: graph.constant(np.array(values, np.int64))
    size = graph.add("Cast", [graph.add("Shape", [flow], start=2)], to=TensorProto.FLOAT)
    zero, one, two = graph.scalar(0.0), graph.scalar(1.0), graph.scalar(2.0)
    height = graph.add("Gather", [size, graph.constant(np.array(0, np.int64))])
    width = graph.add("Gather", [size, graph.constant(np.array(1, np.int64))])
    columns = graph.add("Reshape", [graph.add("Range", [zero, width, one]), integers(1, 1, 1, -1)])
    rows = graph.add("Reshape", [graph.add("Range", [zero, height, one]), integers(1, 1, -1, 1)])
    sides = []
    for index, (place, length) in enumerate([(columns, width), (rows, height)]):
        move = graph.add("Slice", [flow, integers(index), integers(index + 1), integers(1)])
        step = graph.add("Div", [two, graph.add("Sub", [length, one])])
        reach = graph.add("Mul", [graph.add("Add", [place, move]), step])
        sides.append(graph.add("Sub", [reach, one]))
    grid = graph.add("Transpose", [graph.add("Concat", sides, axis=1)], perm=[0, 2, 3, 1])
    options = dict(mode="bilinear", padding_mode="border", align_corners=1)
    graph.give(layer.outputs[0], graph.add("GridSample", [picture, grid], **options))


def _axis(axis: int) -> int:
    """ncnn counts axes without the batch."""
    return axis + 1 if axis >= 0 else axis


# Every layer this converter knows. To add one: a function, a row (and, if the
# layer has weights, a row in ncnn_reader.py).
RULES = {
    "BinaryOp": _binary,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "Crop": _crop,
    "Deconvolution": _deconvolution,
    "Eltwise": _eltwise,
    "Input": _input,
    "Interp": _interp,
    "MemoryData": _memory,
    "PReLU": _prelu,
    "PixelShuffle": _pixel_shuffle,
    "ReLU": _relu,
    "Sigmoid": _sigmoid,
    "Split": _split,
    "Swish": _swish,
    "rife.Warp": _warp,
}


def main() -> int:
    if len(sys.argv) != 4:
        print("usage: ncnn_to_onnx.py NET.param NET.bin NET.onnx", file=sys.stderr)
        return 2
    contents = []
    try:
        for path in sys.argv[1:3]:
            with open(path, "rb") as file:
                contents.append(file.read())
        result = convert(*contents)
        with open(sys.argv[3], "wb") as file:
            file.write(result)
    except (NcnnError, OSError) as error:
        print(f"ncnn_to_onnx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
