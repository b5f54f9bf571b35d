"""Converted networks compute what ncnn computes, at every size."""

import struct
import tempfile
import unittest
from pathlib import Path

import support

import ncnn_to_onnx
from ncnn_reader import NcnnError

np = support.np

# Largest difference to ncnn, on a scale of 0..1. Sums of float32 in another
# order give up to 5e-6 here; anything wrong gives far more.
TOLERANCE = 1e-4

# Sizes of the small picture, height first. The large network takes half a
# millisecond for a pixel.
SIZES = [(1, 1), (1, 7), (9, 1), (2, 3), (13, 17), (31, 20)]


def case(middle: str, *arrays, channels: int = 4, tagged: bool = True) -> tuple:
    """A network of one layer: its .param, its .bin and its input's channels."""
    lines = ["Input data 0 1 data", *middle.split("\n")]
    blobs = {name for line in lines for name in outputs(line)}
    param = "\n".join(["7767517", f"{len(lines)} {len(blobs)}", *lines, ""])
    data = b"".join(array.astype("<f4").tobytes() for array in arrays)
    return param.encode(), (struct.pack("<I", 0) if tagged and arrays else b"") + data, channels


def outputs(line: str) -> list:
    words = line.split()
    return words[4 + int(words[2]) : 4 + int(words[2]) + int(words[3])]


def numbers(*shape: int) -> np.ndarray:
    return np.random.RandomState(sum(shape)).uniform(-0.5, 0.5, shape)


# Every kind of layer, small, as ncnn would write it. The values of these are
# kept between 0 and 1, where the Clip at the end does nothing.
CASES = {
    "BinaryOp": [case(f"BinaryOp op 1 1 data output 0={kind} 1=1 2={value}")
                 for kind, value in ((0, 0.0), (1, 0.1), (2, 0.5), (3, 2.0), (7, 1.0), (8, 0.01))]
    + [case(f"Split split 1 2 data a b\nS{layer} s 1 1 b c\n"
            f"BinaryOp op 2 1 a c d 0={kind}\nBinaryOp half 1 1 d output 0=2 1=1 2=0.5")
       for kind, layer in ((0, "wish"), (1, "wish"), (2, "wish"), (3, "igmoid"), (7, "igmoid"), (8, "igmoid"))],
    "Concat": [case("Split split 1 2 data a b\nConcat concat 2 1 a b output"),
               case("Split split 1 2 data a b\nConcat concat 2 1 a b output 0=2")],
    "Convolution": [
        case("Convolution conv 1 1 data output 0=3 1=3 4=1 5=1 6=108", numbers(3, 4, 3, 3), np.full(3, 0.5)),
        case("Convolution conv 1 1 data output 0=3 1=3 11=1 4=1 14=0 5=1 6=36", numbers(3, 4, 1, 3), np.full(3, 0.5)),
        case("Convolution conv 1 1 data output 0=2 1=3 2=2 4=2 6=72 9=1", numbers(2, 4, 3, 3)),
        case("Convolution conv 1 1 data output 0=2 1=2 3=2 4=1 15=2 14=1 16=0 6=32 9=2 -23310=1,0.2", numbers(2, 4, 2, 2)),
    ],
    "ConvolutionDepthWise": [
        case("ConvolutionDepthWise conv 1 1 data output 0=4 1=3 4=1 5=1 6=36 7=4", numbers(4, 1, 3, 3), np.full(4, 0.5)),
        case("ConvolutionDepthWise conv 1 1 data output 0=6 1=1 6=12 7=2 9=1", numbers(6, 2, 1, 1)),
    ],
    "Crop": [case("Crop crop 1 1 data output -23309=2,1,0 -23310=2,3,1 -23311=2,0,1")],
    "Deconvolution": [
        case("Deconvolution conv 1 1 data output 0=3 1=4 3=2 4=1 5=1 6=192", numbers(3, 4, 4, 4), np.full(3, 0.5)),
        case("Deconvolution conv 1 1 data output 0=2 1=2 3=2 6=32 9=1", numbers(2, 4, 2, 2)),
    ],
    "Eltwise": [
        case("Split split 1 2 data a b\nSigmoid s 1 1 b c\nEltwise op 2 1 a c output 0=0"),
        case("Split split 1 2 data a b\nSigmoid s 1 1 b c\nEltwise op 2 1 a c output 0=1 -23301=2,2.5e-01,5.0e-01"),
        case("Split split 1 2 data a b\nSigmoid s 1 1 b c\nEltwise op 2 1 a c output 0=2"),
    ],
    "Input": [case("ReLU relu 1 1 data output")],
    "Interp": [case(f"Interp interp 1 1 data output 0={kind} 1={down} 2={across}")
               for kind, down, across in ((1, 2.0, 3.0), (1, 4.0, 4.0), (2, 2.0, 2.0), (2, 3.0, 2.0), (3, 4.0, 4.0))],
    "MemoryData": [
        case("MemoryData mean 0 1 m 0=1 1=1 2=4\nBinaryOp op 2 1 data m output 0=2", np.full(4, 0.25), tagged=False)
    ],
    "PReLU": [case("BinaryOp shift 1 1 data a 0=1 1=1 2=0.5\nPReLU prelu 1 1 a output 0=4",
                   np.array([-0.1, -0.5, -0.9, 0]), tagged=False),
              case("BinaryOp shift 1 1 data a 0=1 1=1 2=0.5\nPReLU prelu 1 1 a output 0=1", np.array([-0.3]), tagged=False)],
    "PixelShuffle": [case("PixelShuffle shuffle 1 1 data output 0=2", channels=12),
                     case("PixelShuffle shuffle 1 1 data output 0=2 1=1", channels=12)],
    "ReLU": [case("BinaryOp shift 1 1 data a 0=1 1=1 2=0.5\nReLU relu 1 1 a output"),
             case("BinaryOp shift 1 1 data a 0=1 1=1 2=0.5\nReLU relu 1 1 a output 0=-0.4")],
    "Sigmoid": [case("Sigmoid sigmoid 1 1 data output")],
    "Split": [case("Split split 1 2 data a b\nSigmoid sigmoid 1 1 a c\nBinaryOp op 2 1 b c output 0=2")],
    "Swish": [case("Swish swish 1 1 data output")],
    # ncnn itself does not have this one; it has a test of its own.
    "rife.Warp": [],
}


def reduced(block: int, scale: float, kind: int) -> tuple:
    """A network that enlarges by `block`, adds its input to that, and reduces it by a mode of Interp."""
    outputs = 3 * block**2
    weights, bias = numbers(outputs, 3, 3, 3) * 0.1, np.linspace(0, 0.2, outputs)
    param, data, _ = case(
        "Split split 1 2 data a b\n"
        f"Convolution conv 1 1 a c 0={outputs} 1=3 4=1 5=1 6={weights.size}\n"
        f"PixelShuffle shuffle 1 1 c d 0={block}\n"
        f"Interp enlarge 1 1 b e 0=1 1={block} 2={block}\n"
        "BinaryOp add 2 1 d e f 0=0\n"
        f"Interp reduce 1 1 f output 0={kind} 1={scale} 2={scale}",
        weights,
        bias,
        channels=3,
    )
    return param, data


def operators(onnx, data: bytes) -> list:
    return [node.op_type for node in onnx.load_from_string(data).graph.node]


def run_ncnn(ncnn, param: bytes, data: bytes, picture: np.ndarray) -> np.ndarray:
    """What ncnn makes of `picture` [1, C, H, W] in plain float32."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.param").write_bytes(param)
        Path(folder, "net.bin").write_bytes(data)
        net = ncnn.Net()
        net.opt.use_vulkan_compute = False
        for name in dir(net.opt):
            if name.startswith(("use_fp16", "use_bf16", "use_int8", "use_winograd")):
                setattr(net.opt, name, False)
        assert net.load_param(str(Path(folder, "net.param"))) == 0
        assert net.load_model(str(Path(folder, "net.bin"))) == 0
        extractor = net.create_extractor()
        # ncnn's arrays are borrowed: without a copy they would be read after they are freed.
        extractor.input("data", ncnn.Mat(np.ascontiguousarray(picture[0])).clone())
        status, result = extractor.extract("output")
        assert status == 0
        return np.array(result.clone()).copy()[None]


def run_onnx(onnxruntime, data: bytes, picture: np.ndarray) -> np.ndarray:
    (result,) = support.open_session(onnxruntime, data).run(None, {"input": picture})
    return result


class Converter(unittest.TestCase):
    def check(self, ncnn, onnxruntime, param: bytes, data: bytes, pictures: list):
        """Compares with what ncnn makes of the pictures."""
        for small in pictures:
            height, width = small.shape[2:]
            expected = run_ncnn(ncnn, param, data, small)
            converted = ncnn_to_onnx.convert(param, data, small.shape[1], expected.shape[1])
            found = run_onnx(onnxruntime, converted, small)
            self.assertEqual(found.shape, expected.shape, (height, width))
            difference = np.abs(np.clip(expected, 0, 1) - found).max()
            self.assertLess(difference, TOLERANCE, (height, width))
            # A network that gives one flat value would agree by luck.
            self.assertGreater(found.std(), 0.001, (height, width))

    def test_every_rule_has_a_case(self):
        self.assertEqual(set(CASES), set(ncnn_to_onnx.RULES))

    def test_every_kind_of_layer_agrees_with_ncnn(self):
        both = support.needed(self, "ncnn"), support.needed(self, "onnxruntime")
        for kind, cases in CASES.items():
            for index, (param, data, channels) in enumerate(cases):
                with self.subTest(kind, index=index):
                    pictures = [support.picture(8, 10, channels), support.picture(7, 5, channels)]
                    self.check(*both, param, data, pictures)

    def test_every_network_agrees_with_ncnn(self):
        both = support.needed(self, "ncnn"), support.needed(self, "onnxruntime")
        contents = support.packages(self).contents
        # Not noise: SPAN x2 enlarges the rounding of float32 to 2e-3 there, in ncnn as in ONNX Runtime.
        pictures = [support.smooth_picture(13, 17), support.smooth_picture(20, 31)]
        for item in support.NCNN_NETWORKS:
            with self.subTest(item.name):
                self.check(*both, contents[item.name, "param"], contents[item.name, "bin"], pictures)

    def test_every_upscaler_runs_at_every_size_without_a_word_and_stays_within_range(self):
        onnxruntime = support.needed(self, "onnxruntime")
        packages = support.packages(self)
        for item in support.NCNN_NETWORKS:
            scale = int(item.modelinfo("scale"))
            with support.QuietStderr() as stderr:
                session = support.open_session(onnxruntime, packages.converted(item))
                for height, width in SIZES:
                    small = support.picture(height, width) * 4 - 1.5
                    (large,) = session.run(None, {"input": small})
                    self.assertEqual(large.shape, (1, 3, height * scale, width * scale), item.name)
                    self.assertGreaterEqual(large.min(), 0.0, item.name)
                    self.assertLessEqual(large.max(), 1.0, item.name)
            self.assertEqual(stderr.text, "", item.name)

    def test_a_picture_that_was_enlarged_is_reduced_by_a_convolution(self):
        onnx, both = support.needed(self, "onnx"), (support.needed(self, "ncnn"), support.needed(self, "onnxruntime"))
        pictures = [support.picture(8, 10, 3), support.picture(1, 5, 3), support.picture(1, 1, 3)]
        for block, scale, kind in ((4, 0.5, 2), (4, 0.75, 2), (4, 0.5, 3), (4, 0.75, 3), (4, 0.25, 2), (4, 0.25, 3), (3, 2 / 3, 3), (2, 0.5, 3)):
            with self.subTest(block=block, scale=scale, kind=kind):
                param, data = reduced(block, scale, kind)
                self.assertEqual(operators(onnx, ncnn_to_onnx.convert(param, data)).count("Resize"), 1)
                self.check(*both, param, data, pictures)

    def test_a_picture_whose_sizes_may_be_no_whole_steps_is_resized(self):
        onnx, both = support.needed(self, "onnx"), (support.needed(self, "ncnn"), support.needed(self, "onnxruntime"))
        for block, scale, kind in ((3, 0.5, 3), (2, 0.75, 2), (4, 0.4, 2), (4, 1.5, 3), (4, 0.5, 1)):
            with self.subTest(block=block, scale=scale, kind=kind):
                param, data = reduced(block, scale, kind)
                self.assertEqual(operators(onnx, ncnn_to_onnx.convert(param, data)).count("Resize"), 2)

    def test_the_same_files_give_the_same_bytes(self):
        param, data, channels = CASES["Convolution"][0]
        self.assertEqual(ncnn_to_onnx.convert(param, data, channels), ncnn_to_onnx.convert(param, data, channels))

    def test_half_weights_stay_half(self):
        onnx = support.needed(self, "onnx")
        packages = support.packages(self)
        for item in support.NCNN_NETWORKS:
            data = packages.converted(item)
            self.assertLess(len(data), 1.01 * len(packages.contents[item.name, "bin"]) + 10_000, item.name)
            kinds = {constant.data_type for constant in onnx.load_from_string(data).graph.initializer}
            self.assertIn(onnx.TensorProto.FLOAT16, kinds, item.name)

    def test_a_warp_by_whole_pixels_moves_the_picture_and_repeats_its_border(self):
        onnxruntime = support.needed(self, "onnxruntime")
        param, data, channels = case(
            "Split split 1 2 data a b\n"
            "Crop picture 1 1 a p -23309=1,0 -23310=1,3 -23311=1,0\n"
            "Crop flow 1 1 b f -23309=1,3 -23310=1,5 -23311=1,0\n"
            "rife.Warp warp 2 1 p f output",
            channels=5,
        )
        converted = ncnn_to_onnx.convert(param, data, channels, 3)
        small = support.picture(6, 9, 5)
        for right, down in ((0, 0), (2, 0), (0, -1), (-3, 2)):
            small[0, 3], small[0, 4] = right, down
            rows = np.clip(np.arange(6) + down, 0, 5)
            columns = np.clip(np.arange(9) + right, 0, 8)
            found = run_onnx(onnxruntime, converted, small)
            self.assertLess(np.abs(found - small[:, :3][:, :, rows][..., columns]).max(), 1e-5, (right, down))

    def test_what_there_is_no_rule_for_is_named(self):
        for middle, saying in (
            ("Pooling pool 1 1 data output", "no rule for `Pooling`"),
            ("BinaryOp op 1 1 data output 0=6 1=1 2=2", "`op`: there is no rule for BinaryOp 6"),
            ("Interp interp 1 1 data output 0=2 3=40 4=40", "`interp`: only scaling by a factor"),
            ("Split split 1 2 data a b\nSwish s 1 1 a c\nReLU r 1 1 b d", "one input and one output"),
        ):
            with self.assertRaises(NcnnError) as caught:
                ncnn_to_onnx.convert(*case(middle))
            self.assertIn(saying, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
