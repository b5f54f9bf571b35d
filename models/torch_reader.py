"""Reads the numbers out of a file of weights written by PyTorch before 1.6.

Such a file is a row of pickles (a magic number, the protocol, the machine, the
names of the tensors, the keys of their storages) and then the storages. A
pickle can name any function of Python to be called; here only three names are
known, each answered by a stand-in of our own, and any other is refused.
Nothing in the file is run, and PyTorch is not needed.
"""

import io
import pickle
import struct
from collections import OrderedDict
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class TorchError(Exception):
    """The file is not what this reader knows. The text says where."""


class _Storage(NamedTuple):
    key: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: Tuple[int, ...]
    stride: Tuple[int, ...]


def _rebuild_tensor(storage, offset, size, stride, *_):
    return _Tensor(storage, offset, tuple(size), tuple(stride))


# Every name a pickle may use, and what is taken for it.
KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): "float32",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return KNOWN[module, name]
        except KeyError:
            raise TorchError(f"the file asks for {module}.{name}, which is not run") from None

    def persistent_load(self, identity):
        if len(identity) < 5 or identity[0] != "storage" or identity[1] != "float32":
            raise TorchError(f"the file refers to {identity!r}, no storage of floats")
        # The place a storage was kept at (such as a GPU) does not matter here.
        _, _, key, _, length = identity[:5]
        return _Storage(str(key), int(length))


def read(data: bytes) -> Dict[str, np.ndarray]:
    """Returns the tensors in the contents of a file of weights, by their names."""
    file = io.BytesIO(data)
    try:
        magic, protocol, machine, names, keys = (_Unpickler(file).load() for _ in range(5))
    except TorchError:
        raise
    except Exception as error:  # Damaged pickles raise almost anything.
        raise TorchError(f"the file's pickles are damaged: {error}") from None
    if magic != MAGIC or protocol != PROTOCOL:
        raise TorchError("this is no file of weights of PyTorch before 1.6")
    if not isinstance(machine, dict) or not machine.get("little_endian"):
        raise TorchError("the file was written on a big-endian machine")
    if not isinstance(names, dict) or not isinstance(keys, list):
        raise TorchError("the file holds no table of tensors")
    storages = _read_storages(file, keys)
    return {name: _view(name, tensor, storages) for name, tensor in names.items() if isinstance(tensor, _Tensor)}


def _read_storages(file: io.BytesIO, keys: List[str]) -> Dict[str, np.ndarray]:
    storages = {}
    for key in keys:
        head = file.read(8)
        length = struct.unpack("<q", head)[0] if len(head) == 8 else -1
        content = file.read(4 * length) if length >= 0 else b""
        if length < 0 or len(content) != 4 * length:
            raise TorchError(f"the file ends inside storage {key}")
        storages[str(key)] = np.frombuffer(content, "<f4")
    if file.read(1):
        raise TorchError("the file goes on behind its last storage")
    return storages


def _view(name: str, tensor: _Tensor, storages: Dict[str, np.ndarray]) -> np.ndarray:
    """The tensor as an array of its own; only tensors without gaps are known."""
    storage = storages.get(tensor.storage.key)
    count = int(np.prod(tensor.size, dtype=np.int64))
    if storage is None or len(storage) != tensor.storage.length:
        raise TorchError(f"{name}: its storage is not in the file")
    steps = np.cumprod((1,) + tensor.size[::-1])[:-1][::-1]
    dense = all(size == 1 or step == stride for size, step, stride in zip(tensor.size, steps, tensor.stride))
    if not dense or tensor.offset < 0 or tensor.offset + count > len(storage):
        raise TorchError(f"{name}: its numbers do not lie side by side in the file")
    return storage[tensor.offset : tensor.offset + count].reshape(tensor.size).astype(np.float32)
