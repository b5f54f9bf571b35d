"""ST-LPIPS: the converted network against the package, and the reader of its weights."""

import collections
import json
import pickle
import struct
import sys
import unittest
from pathlib import Path

import support

import torch_reader
from torch_reader import TorchError

FIXTURES = Path(__file__).resolve().parent / "fixtures"
sys.path.insert(0, str(FIXTURES))

import stlpips as fixture

np = support.np

# Between PyTorch and ONNX Runtime 4e-6 was seen.
ALLOWED = 1e-4


class Distance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.session = None

    def distance(self, test, truth) -> float:
        onnxruntime = support.needed(self, "onnxruntime")
        if Distance.session is None:
            item = support.TABLE["stlpips-alex"]
            Distance.session = support.open_session(onnxruntime, support.packages(self).converted(item))
        return float(Distance.session.run(None, {"test": test, "truth": truth})[0][0])

    def test_distances_are_those_of_the_package(self):
        expected = json.loads((FIXTURES / "stlpips.json").read_text())
        worst = 0.0
        for height, width in fixture.SIZES:
            made = fixture.pictures(height, width)
            for change in fixture.CHANGES:
                distance = self.distance(made[change], made["scene"])
                worst = max(worst, abs(distance / expected.pop(f"{change} {width}x{height}") - 1))
        self.assertEqual(expected, {})
        print(f"ST-LPIPS: at most {worst:.1e} of the value from the package", file=sys.stderr)
        self.assertLess(worst, ALLOWED)

    def test_the_same_picture_is_at_no_distance_and_order_does_not_matter(self):
        made = fixture.pictures(40, 53)
        self.assertEqual(self.distance(made["scene"], made["scene"]), 0)
        one, two = self.distance(made["noise"], made["scene"]), self.distance(made["scene"], made["noise"])
        self.assertAlmostEqual(one, two, delta=1e-6)

    def test_the_smallest_side_is_the_one_that_is_said(self):
        from stlpips_to_onnx import MIN_SIDE

        fits, too_small = support.picture(MIN_SIDE, MIN_SIDE + 9), support.picture(MIN_SIDE - 1, MIN_SIDE + 9)
        self.assertEqual(self.distance(fits, fits), 0)
        with support.QuietStderr(), self.assertRaises(Exception):
            self.distance(too_small, too_small)


class Name:
    """Pickles as the bare name of a function, and as a call of it."""

    def __init__(self, call, *arguments):
        self.parts = call, arguments

    def __reduce__(self):
        return self.parts


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.identity if isinstance(value, Storage) else None


class Storage:
    def __init__(self, key: str, length: int):
        self.identity = ("storage", "float32", key, "cpu", length, None)


def weights(tensors: dict, numbers: list, key: str = "7") -> bytes:
    """A file as PyTorch wrote them; `tensors` is pickled as the table of names."""
    import io

    file = io.BytesIO()
    for part in (torch_reader.MAGIC, torch_reader.PROTOCOL, {"little_endian": True}):
        pickle.dump(part, file, 2)
    _Pickler(file, 2).dump(tensors)
    pickle.dump([key], file, 2)
    return file.getvalue() + struct.pack("<q", len(numbers)) + np.array(numbers, "<f4").tobytes()


class Reader(unittest.TestCase):
    def setUp(self):
        # What stands for PyTorch's function while a file is written.
        self.module = type(sys)("torch._utils")
        self.module._rebuild_tensor_v2 = lambda *parts: parts
        self.module._rebuild_tensor_v2.__module__ = "torch._utils"
        self.module._rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
        torch = type(sys)("torch")
        torch._utils = self.module
        self.saved = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
        sys.modules.update({"torch": torch, "torch._utils": self.module})

    def tearDown(self):
        for name, module in self.saved.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module

    def tensor(self, length: int, offset: int, size: tuple, stride: tuple, key: str = "7"):
        arguments = Storage(key, length), offset, size, stride, False, collections.OrderedDict()
        return Name(self.module._rebuild_tensor_v2, *arguments)

    def file(self, *tensor) -> bytes:
        return weights(collections.OrderedDict(a=self.tensor(6, *tensor)), [0, 1, 2, 3, 4, 5])

    def refuses(self, data: bytes, saying: str):
        with self.assertRaises(TorchError) as caught:
            torch_reader.read(data)
        self.assertIn(saying, str(caught.exception))

    def test_tensors_are_read_by_name_shape_and_place(self):
        found = torch_reader.read(self.file(1, (2, 1, 2), (2, 9, 1)))
        self.assertEqual(found["a"].tolist(), [[[1, 2]], [[3, 4]]])
        self.assertEqual(found["a"].dtype, np.float32)

    def test_tensors_with_gaps_or_beyond_the_end_are_refused(self):
        for tensor in ((0, (2, 2), (1, 2)), (0, (2,), (3,)), (5, (2,), (1,)), (-1, (2,), (1,)), (0, (7,), (1,))):
            self.refuses(self.file(*tensor), "do not lie side by side")
        elsewhere = self.tensor(6, 0, (6,), (1,), key="8")
        self.refuses(weights(collections.OrderedDict(a=elsewhere), [0] * 6), "its storage is not in the file")

    def test_nothing_that_a_file_names_is_run(self):
        import builtins
        import os

        for call in (os.system, builtins.eval, builtins.getattr, collections.Counter):
            self.refuses(weights({"a": Name(call, "0")}, []), "which is not run")

    def test_a_file_cut_short_anywhere_is_refused(self):
        data = self.file(0, (6,), (1,))
        for length in range(len(data)):
            with self.assertRaises(TorchError, msg=length):
                torch_reader.read(data[:length])
        self.refuses(data + b"\0", "goes on behind")

    def test_other_files_are_refused(self):
        for data in (b"", b"PK\3\4 a file of today's PyTorch", pickle.dumps({"a": 1}) * 5, bytes(range(256))):
            with self.assertRaises(TorchError):
                torch_reader.read(data)


if __name__ == "__main__":
    unittest.main()
