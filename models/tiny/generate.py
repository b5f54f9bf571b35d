"""Makes the tiny networks that the tests of the element run.

They are ours, come with no weights worth speaking of and are committed; a test
checks that this program still makes the same bytes.

    python models/tiny/generate.py [FOLDER]
"""

import sys
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

FLOAT, HALF, BYTE, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.DOUBLE

# N, C, H, W of a network that takes any size.
ANY = ["batch", 3, "height", "width"]


class Network:
    """Nodes and constants on their way to a file."""

    def __init__(self, shape: list = ANY, kind: int = FLOAT, name: str = "input"):
        self.inputs = [helper.make_tensor_value_info(name, kind, shape)]
        self.nodes: List[NodeProto] = []
        self.constants: List[TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        output = f"v{len(self.nodes)}"
        node = NodeProto(op_type=operator, input=inputs, output=[output])
        for key in sorted(attributes):
            node.attribute.append(helper.make_attribute(key, attributes[key]))
        self.nodes.append(node)
        return output

    def constant(self, values, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def resize(self, value: str, down: float, across: float, mode: str = "nearest") -> str:
        """Nearest repeats pixels; linear is the usual half-pixel bilinear."""
        scales = self.constant([1, 1, down, across])
        if mode == "nearest":
            options = dict(mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        else:
            options = dict(mode=mode, coordinate_transformation_mode="half_pixel")
        return self.add("Resize", value, "", scales, **options)

    def clip(self, value: str, high: float = 1.0) -> str:
        return self.add("Clip", value, self.constant(0.0), self.constant(high))

    def convolution(self, value: str, weights: np.ndarray) -> str:
        """A convolution that keeps the size, its weights stored as float16."""
        cast = self.add("Cast", self.constant(weights, np.float16), to=FLOAT)
        side = weights.shape[2]
        return self.add("Conv", value, cast, kernel_shape=[side, side], pads=[side // 2] * 4)

    def finish(self, value: str, shape: list = ANY, kind: int = FLOAT, before=(), after=()) -> bytes:
        """Names the last value `output` and returns the file; further outputs are values with their shapes."""
        self.nodes[-1].output[0] = "output"
        assert value == f"v{len(self.nodes) - 1}", "the output must be made by the last node"
        shape = [f"out_{side}" if side in ("height", "width") else side for side in shape]
        outputs = [*before, ("output", shape), *after]
        outputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs]
        graph = GraphProto(name="tiny", node=self.nodes, initializer=self.constants, input=self.inputs, output=outputs)
        model = ModelProto(ir_version=IR_VERSION, producer_name="facesr", graph=graph)
        model.opset_import.append(helper.make_opsetid("", OPSET))
        return model.SerializeToString(deterministic=True)


def nearest(scale: int, channels: int = 3) -> bytes:
    shape = ["batch", channels, "height", "width"]
    net = Network(shape)
    return net.finish(net.resize("input", scale, scale), shape)


def identity() -> bytes:
    net = Network()
    return net.finish(net.clip("input"))


def bilinear() -> bytes:
    """Bilinear plus what a small random network makes of a neighbourhood of radius 6.

    The residual is strong enough that a tile with too little context shows.
    """
    random = np.random.RandomState(20)
    # Three 5x5 convolutions reach 2 + 2 + 2 pixels; each layer keeps the spread of its input.
    layers = [(8, 3), (8, 8), (12, 8)]
    net = Network()
    value = net.add("Sub", "input", net.constant(0.5))
    for index, (outputs, inputs) in enumerate(layers):
        spread = 1.5 / np.sqrt(inputs * 25)
        value = net.convolution(value, random.uniform(-1, 1, (outputs, inputs, 5, 5)) * spread)
        if index + 1 < len(layers):
            value = net.add("Relu", value)
    residual = net.add("DepthToSpace", value, blocksize=2, mode="CRD")
    plain = net.resize("input", 2, 2, "linear")
    return net.finish(net.clip(net.add("Add", plain, residual)))


def half() -> bytes:
    net = Network(kind=HALF)
    large = net.resize(net.add("Cast", "input", to=FLOAT), 2, 2)
    return net.finish(net.add("Cast", large, to=HALF), kind=HALF)


def compact(rectified: Callable[[Network, str, str], str]) -> bytes:
    """Convolutions with a slope for each channel behind them, as compact networks are: slopes below 0 and above 1, one list of
    them as float16, and one for a number of channels that is no multiple of 16."""
    noise = np.random.RandomState(7)
    net = Network()
    value = "input"
    for inputs, outputs, dtype in [(3, 16, np.float32), (16, 32, np.float16), (32, 12, np.float32)]:
        value = net.convolution(value, noise.normal(0, 0.2 / inputs**0.5, (outputs, inputs, 3, 3)))
        slope = net.constant(noise.uniform(-1.4, 1.7, (outputs, 1, 1)), dtype)
        slope = net.add("Cast", slope, to=FLOAT) if dtype == np.float16 else slope
        value = rectified(net, value, slope)
    shuffled = net.add("DepthToSpace", value, blocksize=2, mode="CRD")
    return net.finish(net.clip(net.add("Add", shuffled, net.resize("input", 2, 2))))


def prelu(net: Network, value: str, slope: str) -> str:
    return net.add("PRelu", value, slope)


def rectified_apart(net: Network, value: str, slope: str) -> str:
    """A PRelu by its definition."""
    zero = net.constant(0.0)
    below = net.add("Mul", net.add("Min", value, zero), slope)
    return net.add("Add", net.add("Max", value, zero), below)


def filtered(padded: Dict[str, object]) -> bytes:
    """Convolutions of as many channels as heavy networks have, rectified in every way, in the middle of others; `padded` says that a pixel
    of zeros is around."""
    noise = np.random.RandomState(11)
    net = Network()
    few = net.convolution("input", noise.normal(0, 0.4, (12, 3, 3, 3)))
    weights = net.add("Cast", net.constant(noise.normal(0, 0.1, (88, 12, 3, 3)), np.float16), to=FLOAT)
    bias = net.constant(noise.normal(0, 0.1, 88))
    slopes = noise.uniform(-0.4, 1.2, 88)
    ways = [
        ([bias], "PRelu", [net.constant(slopes.reshape(88, 1, 1))], {}),
        ([], "PRelu", [net.constant(slopes.reshape(1, 88, 1, 1))], {}),
        ([""], "PRelu", [net.constant([0.3])], {}),
        ([bias], "LeakyRelu", [], dict(alpha=0.2)),
        ([], "Relu", [], {}),
        ([bias], "Sigmoid", [], {}),
    ]
    total = net.convolution(few, noise.normal(0, 0.03, (12, 12, 1, 1)))
    for added, rectifier, slope, options in ways:
        value = net.add(rectifier, net.add("Conv", few, weights, *added, **padded), *slope, **options)
        total = net.add("Add", total, net.convolution(value, noise.normal(0, 0.006, (12, 88, 1, 1))))
    shuffled = net.add("DepthToSpace", total, blocksize=2, mode="CRD")
    return net.finish(net.clip(net.add("Add", shuffled, net.resize("input", 2, 2))))


def fixed() -> bytes:
    net = Network([1, 3, 32, 48])
    return net.finish(net.resize("input", 2, 2), [1, 3, 64, 96])


def multiple4() -> bytes:
    """Folds blocks of 4x4 into channels and back, which fails at other sizes."""
    net = Network()
    folded = net.add("SpaceToDepth", "input", blocksize=4)
    # A step in between keeps a runtime from striking the pair out.
    clipped = net.clip(folded)
    return net.finish(net.resize(net.add("DepthToSpace", clipped, blocksize=4), 2, 2))


def range255() -> bytes:
    """Rounds to whole numbers: fed with 0..1 it gives a picture of two levels."""
    net = Network()
    return net.finish(net.resize(net.add("Round", net.clip("input", 255.0)), 2, 2))


def nan() -> bytes:
    """NaN wherever red is above 0.9, the input elsewhere."""
    net = Network()
    red = net.add("Gather", "input", net.constant([0], np.int64), axis=1)
    root = net.add("Sqrt", net.add("Sub", net.constant(0.9), red))
    poison = net.add("Mul", root, net.constant(0.0))
    return net.finish(net.clip(net.resize(net.add("Add", "input", poison), 2, 2)))


def noninteger() -> bytes:
    net = Network()
    return net.finish(net.resize("input", 1.5, 1.5, "linear"))


def uneven() -> bytes:
    net = Network()
    return net.finish(net.resize("input", 3, 2))


def two_inputs() -> bytes:
    net = Network()
    net.inputs.append(helper.make_tensor_value_info("other", FLOAT, ANY))
    return net.finish(net.resize(net.add("Add", "input", "other"), 2, 2))


def sigma() -> bytes:
    """A second, scalar input, such as the noise level or weight of some networks."""
    net = Network()
    net.inputs.append(helper.make_tensor_value_info("sigma", FLOAT, [1]))
    return net.finish(net.clip(net.resize(net.add("Mul", "input", "sigma"), 2, 2)))


def three_d() -> bytes:
    shape = [3, "height", "width"]
    net = Network(shape)
    axes = net.constant([0], np.int64)
    large = net.resize(net.add("Unsqueeze", "input", axes), 2, 2)
    return net.finish(net.add("Squeeze", large, axes), shape)


def nhwc() -> bytes:
    shape = ["batch", "height", "width", 3]
    net = Network(shape)
    large = net.resize(net.add("Transpose", "input", perm=[0, 3, 1, 2]), 2, 2)
    return net.finish(net.add("Transpose", large, perm=[0, 2, 3, 1]), shape)


def u8_input() -> bytes:
    net = Network(kind=BYTE)
    return net.finish(net.resize("input", 2, 2), kind=BYTE)


def embedding() -> bytes:
    """What stands in for a face embedding: the colours of 14x14 blocks, in a row."""
    net = Network([1, 3, 112, 112])
    blocks = net.add("AveragePool", "input", kernel_shape=[8, 8], strides=[8, 8])
    return net.finish(net.add("Reshape", blocks, net.constant([1, -1], np.int64)), [1, 588])


def embedding_fine() -> bytes:
    """One of any number at once, which knows faces by their finest detail alone: luma of 56x56 blocks,
    less that of the blocks around."""
    net = Network(["batch", 3, 112, 112])
    luma = net.convolution("input", np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1))
    blocks = net.add("AveragePool", luma, kernel_shape=[2, 2], strides=[2, 2])
    around = net.add("AveragePool", blocks, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    return net.finish(net.add("Flatten", net.add("Sub", blocks, around), axis=1), ["batch", 3136])


def embedding_nan() -> bytes:
    """One that fails on whatever is nearly white."""
    net = Network([1, 3, 112, 112])
    root = net.add("Sqrt", net.add("Sub", net.constant(0.9), "input"))
    poisoned = net.add("Add", "input", net.add("Mul", root, net.constant(0.0)))
    blocks = net.add("AveragePool", poisoned, kernel_shape=[8, 8], strides=[8, 8])
    return net.finish(net.add("Reshape", blocks, net.constant([1, -1], np.int64)), [1, 588])


# What is seen in a colour, RGB 0..1; the number of each class is BiSeNet's, then ParseNet's.
SEEN = {
    "background": ((0.0, 0.0, 0.0), 0, 0),
    "skin": ((0.8, 0.6, 0.5), 1, 1),
    "nose": ((0.9, 0.4, 0.4), 10, 2),
    "hair": ((0.2, 0.2, 0.6), 17, 13),
    "cloth": ((0.2, 0.7, 0.2), 16, 18),
}

# Mean and deviation of colours that a network wants them normalised by.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
MIDDLE = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


def parsed(net: Network, value: str, order: int, normalisation: tuple) -> str:
    """The logits of 19 classes: the nearest of the colours known, the others never."""
    mean, deviation = (np.array(part).reshape(1, 3, 1, 1) for part in normalisation)
    colours = net.add("Add", net.add("Mul", value, net.constant(deviation)), net.constant(mean))
    weights, biases = np.zeros((19, 3, 1, 1)), np.full(19, -100.0)
    for colour, *numbers in SEEN.values():
        weights[numbers[order], :, 0, 0] = 2 * np.array(colour)
        biases[numbers[order]] = -np.square(colour).sum()
    return net.add("Conv", colours, net.constant(weights), net.constant(biases), kernel_shape=[1, 1])


def parsing() -> bytes:
    """What stands in for face parsing by BiSeNet, with a coarser output that comes before the one that counts."""
    net = Network([1, 3, 512, 512])
    coarse = parsed(net, net.add("AveragePool", "input", kernel_shape=[8, 8], strides=[8, 8]), 0, IMAGENET)
    before = [(coarse, [1, 19, 64, 64])]
    return net.finish(parsed(net, "input", 0, IMAGENET), [1, 19, 512, 512], before=before)


def parsing_parsenet() -> bytes:
    """ParseNet: other numbers, another normalisation, and a picture that comes after."""
    net = Network([1, 3, 512, 512])
    picture = net.add("Neg", "input")
    after = [(picture, [1, 3, 512, 512])]
    return net.finish(parsed(net, "input", 1, MIDDLE), [1, 19, 512, 512], after=after)


def parsing_nan() -> bytes:
    """One that fails on whatever is nearly white."""
    net = Network([1, 3, 512, 512])
    root = net.add("Sqrt", net.add("Sub", net.constant(2.3), "input"))
    poisoned = net.add("Add", "input", net.add("Mul", root, net.constant(0.0)))
    return net.finish(parsed(net, poisoned, 0, IMAGENET), [1, 19, 512, 512])


def face() -> bytes:
    """What stands in for a restorer of aligned faces, any number at once: the negative."""
    shape = ["batch", 3, 256, 256]
    net = Network(shape)
    return net.finish(net.add("Neg", "input"), shape)


def face_fidelity() -> bytes:
    """One that takes a fidelity of 64 bits, as CodeFormer does: white by as much as that."""
    shape = [1, 3, 256, 256]
    net = Network(shape)
    net.inputs.append(helper.make_tensor_value_info("weight", DOUBLE, [1]))
    weight = net.add("Cast", "weight", to=FLOAT)
    rest = net.add("Sub", net.constant(1.0), weight)
    return net.finish(net.add("Add", net.add("Mul", "input", rest), weight), shape)


def face_nan() -> bytes:
    """One that fails on whatever is nearly white, and changes nothing else."""
    shape = ["batch", 3, 256, 256]
    net = Network(shape)
    root = net.add("Sqrt", net.add("Sub", net.constant(0.9), "input"))
    return net.finish(net.add("Add", "input", net.add("Mul", root, net.constant(0.0))), shape)


# Every tiny network. To add one: a function, a row, and run this program.
NETWORKS: Dict[str, Callable[[], bytes]] = {
    # Good ones.
    "nearest-x2": lambda: nearest(2),
    "nearest-x3": lambda: nearest(3),
    "identity-x1": identity,
    "bilinear-x2": bilinear,
    "half-x2": half,
    "compact-x2": lambda: compact(prelu),
    "compact-apart-x2": lambda: compact(rectified_apart),
    "filtered-x2": lambda: filtered(dict(pads=[1] * 4)),
    "filtered-apart-x2": lambda: filtered(dict(auto_pad="SAME_UPPER")),
    "luma-x2": lambda: nearest(2, channels=1),
    "fixed-x2": fixed,
    "multiple4-x2": multiple4,
    "range255-x2": range255,
    "nan-x2": nan,
    "embedding": embedding,
    "embedding-fine": embedding_fine,
    "embedding-nan": embedding_nan,
    "parsing": parsing,
    "parsing-parsenet": parsing_parsenet,
    "parsing-nan": parsing_nan,
    "face": face,
    "face-fidelity": face_fidelity,
    "face-nan": face_nan,
    # What the element must refuse, saying why.
    "noninteger-x1.5": noninteger,
    "uneven-x2x3": uneven,
    "two-inputs": two_inputs,
    "sigma": sigma,
    "three-d": three_d,
    "nhwc": nhwc,
    "u8-input": u8_input,
    "five-channels": lambda: nearest(2, channels=5),
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    for name, make in NETWORKS.items():
        (folder / f"{name}.onnx").write_bytes(make())


if __name__ == "__main__":
    main()
