"""Frees the sizes that an exporter froze into an ONNX file.

Networks made of convolutions run at any size, and on any number of pictures at
once; the sizes written into their files are only those of the example they
were exported with.
"""

from typing import Dict, List

import onnx
from onnx import numpy_helper

# Names for the freed dimensions of the input, in the order N, C, H, W.
INPUT_NAMES = ("batch", "channels", "height", "width")
# The axis that counts pictures.
BATCH = 0


def free_dimensions(data: bytes, free: Dict[str, List[int]]) -> bytes:
    """Returns the ONNX file `data` with the listed dimensions made symbolic.

    `free` holds two lists of axes: those of the `input` and those of every
    `output`. Shapes of values in between are dropped, and so are constants
    that no node reads, which runtimes warn about. Where the number of pictures
    is freed, shapes that begin with one picture begin with as many as came.
    """
    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    del graph.value_info[:]

    read = {name for node in graph.node for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in read]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    # Old exporters list constants among the inputs, which keeps a runtime from folding them.
    names = {constant.name for constant in constants}
    inputs = [value for value in graph.input if value.name in read and value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)

    if BATCH in free["input"]:
        _free_reshapes(graph)

    for value in graph.input:
        for axis in free["input"]:
            value.type.tensor_type.shape.dim[axis].dim_param = INPUT_NAMES[axis]
    for value in graph.output:
        for axis in free["output"]:
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    return model.SerializeToString(deterministic=True)


def _free_reshapes(graph: onnx.GraphProto) -> None:
    """Lets every Reshape to one picture keep the number of pictures, which it says by 0."""
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for constant in graph.initializer:
        lengths = numpy_helper.to_array(constant)
        if constant.name in shapes and lengths.size and lengths[0] == 1:
            lengths = lengths.copy()
            lengths[0] = 0
            constant.CopyFrom(numpy_helper.from_array(lengths, constant.name))
