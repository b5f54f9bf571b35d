"""Reads a network in ncnn's two files, `.param` (text) and `.bin` (weights).

Nothing is interpreted here: the result is the list of layers in the order of
the file, each with its parameters and its weight arrays. `ncnn_to_onnx.py`
gives them a meaning. A file that is cut short, too long or not ncnn at all is
refused with an `NcnnError` that says where.
"""

import struct
from dataclasses import dataclass, field
from typing import Dict, List, Union

import numpy as np

# First line of every text .param file of the current format.
PARAM_MAGIC = "7767517"

# Tags in front of convolution weights: what the numbers after it are.
TAG_FLOAT32 = 0x00000000
TAG_FLOAT16 = 0x01306B47

# Keys at or below this one hold arrays: key -23300 - n is array parameter n.
ARRAY_KEY_BASE = -23300

Value = Union[int, float, list]


class NcnnError(ValueError):
    """The files are not a network this reader understands."""


@dataclass
class Layer:
    """One line of the .param file, with its share of the .bin file."""

    kind: str
    name: str
    inputs: List[str]
    outputs: List[str]
    params: Dict[int, Value]
    weights: Dict[str, np.ndarray] = field(default_factory=dict)

    def integer(self, key: int, default: int) -> int:
        value = self.params.get(key, default)
        if not isinstance(value, int):
            raise NcnnError(f"layer `{self.name}`: parameter {key} is not a whole number: {value}")
        return value

    def number(self, key: int, default: float) -> float:
        value = self.params.get(key, default)
        if isinstance(value, list):
            raise NcnnError(f"layer `{self.name}`: parameter {key} is an array, not a number")
        return float(value)

    def array(self, key: int) -> list:
        value = self.params.get(key, [])
        if not isinstance(value, list):
            raise NcnnError(f"layer `{self.name}`: parameter {key} is not an array: {value}")
        return value


def read(param: bytes, weights: bytes) -> List[Layer]:
    """Returns the layers described by the contents of a .param and a .bin file."""
    layers = _read_param(param)
    blob = _Weights(weights)
    for layer in layers:
        load = _WEIGHTS_OF.get(layer.kind)
        if load is not None:
            load(layer, blob)
    blob.must_be_used_up()
    return layers


def kernel_size(layer: Layer) -> tuple:
    """Height and width of a convolution's kernel."""
    width = layer.integer(1, 0)
    return layer.integer(11, width), width


def _read_param(data: bytes) -> List[Layer]:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise NcnnError(f"not a text .param file: byte {error.start} is not ASCII") from None
    lines = text.splitlines()
    if not lines or lines[0].strip() != PARAM_MAGIC:
        raise NcnnError(f"not an ncnn .param file: line 1 is not {PARAM_MAGIC}")
    try:
        layer_count, blob_count = (int(word) for word in lines[1].split())
    except (IndexError, ValueError):
        raise NcnnError("line 2 of the .param file does not hold two counts") from None

    layers = [_read_layer(number, line) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if len(layers) != layer_count:
        raise NcnnError(f"the .param file announces {layer_count} layers and holds {len(layers)}")
    known = set()
    for layer in layers:
        for name in layer.inputs:
            if name not in known:
                raise NcnnError(f"layer `{layer.name}` reads `{name}`, which nothing before it makes")
        for name in layer.outputs:
            if name in known:
                raise NcnnError(f"layer `{layer.name}` makes `{name}` a second time")
            known.add(name)
    if len(known) != blob_count:
        raise NcnnError(f"the .param file announces {blob_count} blobs and makes {len(known)}")
    return layers


def _read_layer(number: int, line: str) -> Layer:
    words = line.split()
    try:
        kind, name, input_count, output_count = words[0], words[1], int(words[2]), int(words[3])
        names = words[4 : 4 + input_count + output_count]
        if input_count < 0 or output_count < 0 or len(names) != input_count + output_count:
            raise ValueError
        params = dict(_read_pair(word) for word in words[4 + len(names) :])
    except (IndexError, ValueError):
        raise NcnnError(f"line {number} of the .param file cannot be read: `{line.strip()[:60]}`") from None
    return Layer(kind, name, names[:input_count], names[input_count:], params)


def _read_pair(word: str) -> tuple:
    key, text = word.split("=")
    if int(key) > ARRAY_KEY_BASE:
        return int(key), _read_number(text)
    length, *values = text.split(",")
    if int(length) != len(values):
        raise ValueError
    return ARRAY_KEY_BASE - int(key), [_read_number(value) for value in values]


def _read_number(text: str) -> Union[int, float]:
    try:
        return int(text)
    except ValueError:
        return float(text)


class _Weights:
    """Hands out the contents of the .bin file from front to back."""

    def __init__(self, data: bytes):
        self.data = data
        self.position = 0

    def plain(self, layer: Layer, count: int) -> np.ndarray:
        """The next `count` numbers, float32 without a tag."""
        return self._array(layer, count, np.dtype("<f4"))

    def tagged(self, layer: Layer, count: int) -> np.ndarray:
        """The next `count` numbers, of the type that the tag before them says."""
        (tag,) = struct.unpack("<I", self._take(layer, 4))
        if tag == TAG_FLOAT32:
            return self._array(layer, count, np.dtype("<f4"))
        if tag == TAG_FLOAT16:
            array = self._array(layer, count, np.dtype("<f2"))
            self._take(layer, -self.position % 4)
            return array
        raise NcnnError(f"layer `{layer.name}`: unknown weight type 0x{tag:08X} at byte {self.position - 4}")

    def must_be_used_up(self) -> None:
        rest = len(self.data) - self.position
        if rest:
            raise NcnnError(f"the .bin file is {rest} bytes longer than its layers need")

    def _array(self, layer: Layer, count: int, dtype: np.dtype) -> np.ndarray:
        array = np.frombuffer(self._take(layer, count * dtype.itemsize), dtype)
        if not np.isfinite(array).all():
            raise NcnnError(f"layer `{layer.name}`: weights before byte {self.position} are not finite")
        return array

    def _take(self, layer: Layer, size: int) -> bytes:
        end = self.position + size
        if size < 0 or end > len(self.data):
            raise NcnnError(
                f"the .bin file ends too early: layer `{layer.name}` needs {size} bytes "
                f"at {self.position} and the file has {len(self.data)}"
            )
        piece = self.data[self.position : end]
        self.position = end
        return piece


def _convolution_weights(layer: Layer, blob: _Weights) -> None:
    if layer.integer(8, 0):
        raise NcnnError(f"layer `{layer.name}`: 8-bit weights are not supported")
    outputs, count, groups = layer.integer(0, 0), layer.integer(6, 0), layer.integer(7, 1)
    height, width = kernel_size(layer)
    per_input = outputs * height * width
    if min(outputs, height, width, groups) <= 0 or count <= 0 or count * groups % per_input:
        raise NcnnError(f"layer `{layer.name}`: {count} weights do not fit {outputs} outputs of {height}x{width}")
    layer.weights["weight"] = blob.tagged(layer, count).reshape(outputs, -1, height, width)
    if layer.integer(5, 0):
        layer.weights["bias"] = blob.plain(layer, outputs)


def _prelu_weights(layer: Layer, blob: _Weights) -> None:
    layer.weights["slope"] = blob.plain(layer, layer.integer(0, 0)).reshape(-1, 1, 1)


def _memory_weights(layer: Layer, blob: _Weights) -> None:
    if layer.integer(11, 0) or not layer.integer(21, 1):
        raise NcnnError(f"layer `{layer.name}`: only three-dimensional float32 MemoryData is supported")
    shape = [layer.integer(key, 0) for key in (2, 1, 0)]
    if min(shape) <= 0:
        raise NcnnError(f"layer `{layer.name}`: MemoryData without channels, height and width")
    layer.weights["data"] = blob.plain(layer, shape[0] * shape[1] * shape[2]).reshape(shape)


# The layers that own a share of the .bin file.
_WEIGHTS_OF = {
    "Convolution": _convolution_weights,
    "ConvolutionDepthWise": _convolution_weights,
    "Deconvolution": _convolution_weights,
    "PReLU": _prelu_weights,
    "MemoryData": _memory_weights,
}
