"""The reader of ncnn files: what it must refuse, it refuses saying why."""

import random
import struct
import unittest

import support

import ncnn_reader
from ncnn_reader import NcnnError

np = support.np

PARAM = b"""7767517
5 5
Input data 0 1 data
Convolution conv 1 1 data a 0=3 1=3 4=1 5=1 6=81 9=2 -23310=1,2.000000e-01
PReLU prelu 1 1 a b 0=3
MemoryData mean 0 1 c 0=1 1=1 2=3
BinaryOp add 2 1 b c output 0=0
"""


def weights() -> bytes:
    numbers = np.linspace(-1, 1, 81)
    half = struct.pack("<I", ncnn_reader.TAG_FLOAT16) + numbers.astype("<f2").tobytes() + b"\0\0"
    return half + np.linspace(0, 1, 9).astype("<f4").tobytes()


class Reader(unittest.TestCase):
    def refuses(self, param: bytes, data: bytes, saying: str):
        with self.assertRaises(NcnnError) as caught:
            ncnn_reader.read(param, data)
        self.assertIn(saying, str(caught.exception))

    def test_a_good_file_is_read_whole(self):
        layers = ncnn_reader.read(PARAM, weights())
        convolution, prelu, memory = layers[1], layers[2], layers[3]
        self.assertEqual(convolution.weights["weight"].shape, (3, 3, 3, 3))
        self.assertEqual(convolution.weights["weight"].dtype, np.float16)
        self.assertEqual(convolution.array(10), [0.2])
        self.assertEqual([*convolution.weights["bias"], *prelu.weights["slope"].flat, *memory.weights["data"].flat],
                         [*np.linspace(0, 1, 9, dtype=np.float32)])

    def test_float32_weights_are_read_too(self):
        data = struct.pack("<I", 0) + np.zeros(81 + 9, "<f4").tobytes()
        self.assertEqual(ncnn_reader.read(PARAM, data)[1].weights["weight"].dtype, np.float32)

    def test_weights_cut_short_anywhere_are_refused(self):
        for length in range(len(weights())):
            self.refuses(PARAM, weights()[:length], "ends too early")

    def test_weights_that_go_on_are_refused(self):
        self.refuses(PARAM, weights() + b"\0", "1 bytes longer")

    def test_a_param_file_cut_short_anywhere_is_refused(self):
        # From the last blob's name on, what is left is a network too.
        for length in range(PARAM.index(b" output")):
            with self.assertRaises(NcnnError, msg=length):
                ncnn_reader.read(PARAM[:length], weights())

    def test_what_is_wrong_is_named(self):
        self.refuses(b"", b"", "line 1 is not 7767517")
        self.refuses(b"\x89PNG\r\n", b"", "not a text .param file")
        self.refuses(b"7767517\nmany layers\n", b"", "line 2")
        self.refuses(PARAM.replace(b"5 5", b"6 5"), weights(), "announces 6 layers and holds 5")
        self.refuses(PARAM.replace(b"5 5", b"5 6"), weights(), "announces 6 blobs and makes 5")
        self.refuses(PARAM.replace(b"data a", b"date a"), weights(), "`conv` reads `date`")
        self.refuses(PARAM.replace(b"a b", b"a a"), weights(), "`prelu` makes `a` a second time")
        self.refuses(PARAM.replace(b"6=81", b"6=80"), weights(), "`conv`: 80 weights do not fit")
        self.refuses(PARAM.replace(b"6=81", b"6=many"), weights(), "line 4")
        self.refuses(PARAM.replace(b"=1,2", b"=2,2"), weights(), "line 4")
        self.refuses(PARAM.replace(b"1=3 4", b"1=3.5 4"), weights(), "`conv`: parameter 1 is not a whole number")
        self.refuses(PARAM.replace(b"6=81", b"6=81 8=1"), weights(), "8-bit")
        self.refuses(PARAM, b"\1\2\3\4" + weights()[4:], "unknown weight type 0x04030201 at byte 0")
        self.refuses(PARAM, weights()[:-4] + struct.pack("<f", float("nan")), "`mean`: weights before byte")

    def test_garbage_never_causes_anything_but_a_refusal(self):
        dice = random.Random(7)
        for _ in range(2000):
            param, data = bytearray(PARAM), bytearray(weights())
            for _ in range(dice.randint(1, 4)):
                param[dice.randrange(len(param))] = dice.choice(b"0123456789 =,-.\nxA\xff")
                data[dice.randrange(len(data))] = dice.randrange(256)
            try:
                ncnn_reader.read(bytes(param), bytes(data))
            except NcnnError:
                pass

    def test_real_files_cut_short_are_refused(self):
        contents = support.packages(self).contents
        for item in support.NCNN_NETWORKS:
            param, data = contents[item.name, "param"], contents[item.name, "bin"]
            for length in (0, 3, len(data) // 2, len(data) - 1):
                self.refuses(param, data[:length], "ends too early")


if __name__ == "__main__":
    unittest.main()
