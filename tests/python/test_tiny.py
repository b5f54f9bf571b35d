"""The tiny networks that the tests of the element run."""

import unittest

import support

TINY = support.MODELS / "tiny"
LARGEST = 40_000  # bytes; they are committed

# How the names of good ones end.
SCALES = {"x1": 1, "x2": 2, "x3": 3}


class Tiny(unittest.TestCase):
    def setUp(self):
        support.needed(self, "onnx")
        import generate

        self.networks = generate.NETWORKS

    def test_the_generator_makes_the_committed_bytes(self):
        self.assertEqual({f"{name}.onnx" for name in self.networks}, {path.name for path in TINY.glob("*.onnx")})
        for name, make in self.networks.items():
            self.assertEqual(make(), (TINY / f"{name}.onnx").read_bytes(), name)

    def test_they_are_tiny(self):
        for path in TINY.glob("*.onnx"):
            self.assertLess(path.stat().st_size, LARGEST, path.name)

    def test_every_one_loads_without_a_word(self):
        onnxruntime = support.needed(self, "onnxruntime")
        for name in self.networks:
            with support.QuietStderr() as stderr:
                support.open_session(onnxruntime, (TINY / f"{name}.onnx").read_bytes())
            self.assertEqual(stderr.text, "", name)

    def test_good_ones_enlarge_by_the_scale_in_their_name(self):
        onnxruntime = support.needed(self, "onnxruntime")
        kinds = {"tensor(float)": "f4", "tensor(float16)": "f2"}
        for name in self.networks:
            scale = SCALES.get(name.rpartition("-")[2])
            if scale is None:
                continue
            session = support.open_session(onnxruntime, (TINY / f"{name}.onnx").read_bytes())
            (slot,) = session.get_inputs()
            sizes = {"batch": 1, "height": 32, "width": 48}
            shape = [sizes.get(side, side) for side in slot.shape]
            small = support.picture(shape[2], shape[3], shape[1]).astype(kinds[slot.type])
            (large,) = session.run(None, {slot.name: small})
            self.assertEqual(large.shape, (1, shape[1], shape[2] * scale, shape[3] * scale), name)
            self.assertEqual(large.dtype, small.dtype, name)

    def test_nan_appears_where_red_is_above_nine_tenths_and_only_there(self):
        onnxruntime = support.needed(self, "onnxruntime")
        np = support.np
        small = np.full((1, 3, 3, 4), 0.95, np.float32)
        small[0, 0] = np.linspace(0.5, 0.99, 12).reshape(3, 4)
        session = support.open_session(onnxruntime, (TINY / "nan-x2.onnx").read_bytes())
        (large,) = session.run(None, {"input": small})
        expected = (small[0, 0] > 0.9).repeat(2, 0).repeat(2, 1)
        for channel in range(3):
            self.assertTrue((np.isnan(large[0, channel]) == expected).all(), channel)

    def test_a_tile_of_the_bilinear_one_needs_six_pixels_of_context(self):
        onnxruntime = support.needed(self, "onnxruntime")
        np = support.np
        session = support.open_session(onnxruntime, (TINY / "bilinear-x2.onnx").read_bytes())
        small = support.picture(60, 60)
        (whole,) = session.run(None, {"input": small})
        for context, seamless in ((3, False), (6, True)):
            first, last = 24 - context, 36 + context
            (tile,) = session.run(None, {"input": np.ascontiguousarray(small[..., first:last, first:last])})
            inside = tile[..., 2 * context : 2 * context + 24, 2 * context : 2 * context + 24]
            difference = np.abs(inside - whole[..., 48:72, 48:72]).max() * 255
            self.assertEqual(difference < 0.01, seamless, f"{context} px: {difference}")

    def test_multiples_of_four_are_demanded(self):
        onnxruntime = support.needed(self, "onnxruntime")
        session = support.open_session(onnxruntime, (TINY / "multiple4-x2.onnx").read_bytes())
        for height, width in ((8, 10), (6, 8), (7, 8)):
            with support.QuietStderr(), self.assertRaises(Exception):
                session.run(None, {"input": support.picture(height, width)})


if __name__ == "__main__":
    unittest.main()
