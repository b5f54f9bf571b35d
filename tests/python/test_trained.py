"""The networks that this project trained, as they are committed."""

import hashlib
import unittest

import support

import fetch

np = support.np
TRAINED = support.MODELS / "trained"
LARGEST = 8_000_000  # bytes; they are committed

# Tensors of a network by name: element type and shape, as far as it is fixed.
CONTRACTS = {
    "facesr-face-256": {
        "input": ("tensor(float)", [None, 3, 256, 256]),
        "fidelity": ("tensor(float)", [1]),
        "output": ("tensor(float)", [None, 3, 256, 256]),
    },
    **{
        name: {
            "input": ("tensor(float)", [None, 3, None, None]),
            "output": ("tensor(float)", [None, 3, None, None]),
        }
        for name in ("facesr-live-x2", "facesr-live-x2-int8", "facesr-restore-x2")
    },
}

ROLES = {"facesr-face-256": "face-restorer", "facesr-live-x2": "upscaler", "facesr-live-x2-int8": "upscaler", "facesr-restore-x2": "upscaler"}

# The upscaler, and the same in whole numbers of 8 bits, whose card is the same.
ENLARGING = ("facesr-live-x2", "facesr-live-x2-int8")

# The one for old footage, and what the sides of its pictures are multiples of.
RESTORING, MULTIPLE = "facesr-restore-x2", 8

# Levels by which all but a hundredth of its pixels may change when the picture is moved by one.
MOVED = 10


def drawn_face(edge: float = 4.0) -> np.ndarray:
    """A head with eyes and a mouth, whose edges are so many pixels soft, [1, 3, 256, 256], -1..1."""
    down, across = np.mgrid[:256, :256].astype(np.float32)

    def spot(y, x, height, width):
        inside = 1 - np.hypot((down - y) / height, (across - x) / width)
        return 1 / (1 + np.exp(np.clip(-inside * min(height, width) / edge, -50, 50)))

    skin = spot(150, 128, 95, 68)
    dark = spot(120, 96, 6, 12) + spot(120, 160, 6, 12) + spot(186, 128, 5, 26)
    face = [-0.6 + level * skin - 0.7 * dark for level in (1.1, 0.8, 0.6)]
    return np.clip(np.stack(face), -1, 1)[None].astype(np.float32)


def waves(length: float = 60, same: bool = False):
    """Smooth ones, a large picture and the same at half its size, [1, 3, height, width], 0..1; grey if all are the same."""
    down, across = np.mgrid[:128, :160].astype(np.float32)
    slopes = (1, 1, 1) if same else (1, 2, 3)
    colours = [np.sin((down * slope + across * 2) * 2 * np.pi / length) for slope in slopes]
    large = (0.5 + 0.3 * np.stack(colours))[None].astype(np.float32)
    return large, large.reshape(1, 3, 64, 2, 80, 2).mean((3, 5))


def bars(height: int, width: int, soft: float) -> np.ndarray:
    """Bars of four directions, whose edges are about so many pixels soft, [1, 3, height, width], 0..1."""
    down, across = np.mgrid[:height, :width].astype(np.float32)
    picture = np.zeros((height, width), np.float32)
    for number, (length, turn) in enumerate(((9, 0.1), (11, 1.4), (14, 0.7), (10, 2.4))):
        wave = np.sin((across * np.cos(turn) + down * np.sin(turn)) * 2 * np.pi / length)
        quarter = np.s_[number // 2 * height // 2 :, number % 2 * width // 2 :]
        picture[quarter] = (1 / (1 + np.exp(-wave * length / soft / 2)))[quarter]
    return np.stack([0.2 + 0.6 * picture] * 3)[None]


class Trained(unittest.TestCase):
    def setUp(self):
        onnxruntime = support.needed(self, "onnxruntime")
        self.sessions = {
            name: support.open_session(onnxruntime, (TRAINED / f"{name}.onnx").read_bytes()) for name in CONTRACTS
        }

    def restore(self, faces, fidelity):
        given = {"input": faces, "fidelity": np.array([fidelity], np.float32)}
        return self.sessions["facesr-face-256"].run(None, given)[0]

    def enlarge(self, picture, name="facesr-live-x2"):
        return self.sessions[name].run(None, {"input": picture})[0]

    def test_every_committed_network_has_a_contract_a_sidecar_and_a_card(self):
        self.assertEqual(set(CONTRACTS), {path.name.removesuffix(".onnx") for path in TRAINED.glob("*.onnx")})
        for name in CONTRACTS:
            self.assertTrue((TRAINED / f"{name.removesuffix('-int8')}.md").is_file(), name)
            about = fetch.read_modelinfo(TRAINED / f"{name}.onnx.modelinfo")["modelinfo"]
            self.assertEqual(about["role"], ROLES[name])
            self.assertEqual(about["licence"], "MIT OR Apache-2.0")

    def test_files_are_small_and_what_their_sidecars_say(self):
        for name in CONTRACTS:
            data = (TRAINED / f"{name}.onnx").read_bytes()
            self.assertLess(len(data), LARGEST, name)
            about = fetch.read_modelinfo(TRAINED / f"{name}.onnx.modelinfo")["modelinfo"]
            self.assertEqual(hashlib.sha256(data).hexdigest(), about["sha256"], name)

    def test_tensors_are_those_of_the_contract_and_of_the_sidecar(self):
        for name, contract in CONTRACTS.items():
            session = self.sessions[name]
            found = {
                slot.name: (slot.type, [side if isinstance(side, int) else None for side in slot.shape])
                for slot in session.get_inputs() + session.get_outputs()
            }
            # What the last step leaves unsaid is free.
            for tensor, (kind, shape) in contract.items():
                self.assertEqual(found[tensor][0], kind, tensor)
                self.assertEqual(len(found[tensor][1]), len(shape), tensor)
                for is_side, side in zip(found[tensor][1], shape):
                    self.assertIn(is_side, (side, None), tensor)
            sidecar = fetch.read_modelinfo(TRAINED / f"{name}.onnx.modelinfo")
            self.assertEqual(set(contract), set(sidecar.sections()) - {"modelinfo"}, name)

    def test_several_faces_at_once_are_each_as_alone(self):
        faces = np.concatenate([drawn_face(), drawn_face()[..., ::-1] * 0.5])
        together = self.restore(faces, 1.0)
        for face, made in zip(faces, together):
            np.testing.assert_allclose(self.restore(face[None], 1.0)[0], made, atol=1e-4)

    def test_the_better_a_face_is_the_less_is_changed_and_a_sharp_one_hardly(self):
        for fidelity in (-0.75, 0.0, 0.5, 1.0):
            faces = [drawn_face(edge) for edge in (4.0, 2.0, 1.0)]
            changed = [np.abs(self.restore(face, fidelity) - face).mean() for face in faces]
            self.assertEqual(changed, sorted(changed, reverse=True), fidelity)
            self.assertLess(changed[-1], 0.012, fidelity)

    def test_fidelity_goes_straight_from_detailed_to_faithful(self):
        face = drawn_face() + 0.1 * np.random.RandomState(1).randn(1, 3, 256, 256).astype(np.float32)
        detailed, half, faithful = (self.restore(face, fidelity) for fidelity in (0.0, 0.5, 1.0))
        self.assertGreater(np.abs(detailed - faithful).max(), 0.01)
        np.testing.assert_allclose(half, (detailed + faithful) / 2, atol=1e-4)

    def test_noise_of_a_small_face_flickers_less_than_it_did(self):
        image = support.needed(self, "PIL.Image").Image
        face, noise = drawn_face(), np.random.RandomState(2)
        given = []
        for _ in range(2):
            small = 0.06 * noise.randn(3, 64, 64).astype(np.float32)
            large = [image.fromarray(colour).resize((256, 256), image.BICUBIC) for colour in small]
            given.append(face + np.stack([np.asarray(colour) for colour in large]))
        made = [self.restore(picture, 1.0) for picture in given]
        self.assertLess(np.abs(made[1] - made[0]).mean(), 0.95 * np.abs(given[1] - given[0]).mean())

    def test_video_becomes_twice_as_large_whatever_its_size(self):
        for height, width in ((2, 2), (2, 34), (66, 50), (144, 176)):
            for name in ENLARGING:
                self.check_size(height, width, name)
        for height, width in ((8, 8), (8, 104), (72, 48), (144, 176)):
            self.check_size(height, width, RESTORING)

    def check_size(self, height, width, name):
        made = self.enlarge(support.smooth_picture(height, width), name)
        self.assertEqual(made.shape, (1, 3, 2 * height, 2 * width))
        self.assertTrue(np.isfinite(made).all())

    def test_an_even_colour_stays_that_colour(self):
        for colour in ((0, 0, 0), (1, 1, 1), (0.2, 0.5, 0.9)):
            picture = np.tile(np.array(colour, np.float32)[None, :, None, None], (1, 1, 40, 48))
            for name in (*ENLARGING, RESTORING):
                made = self.enlarge(picture, name)
                self.assertLess(np.abs(made - picture[:, :, :1, :1]).max(), 0.03, (colour, name))

    def test_a_smooth_picture_reduced_and_enlarged_is_nearer_than_repeated_pixels(self):
        large, small = waves()
        repeated = small.repeat(2, 2).repeat(2, 3)
        for name in ENLARGING:
            self.assertLess(np.abs(self.enlarge(small, name) - large).mean(), 0.5 * np.abs(repeated - large).mean(), name)

    def test_noise_of_old_footage_is_taken_away_the_more_the_stronger_it_is(self):
        for colours, bounds in ((1, (0.75, 0.5, 0.4)), (3, (1.0, 0.7, 0.65))):
            left = [self.noise_left(sigma, colours) for sigma in (4, 10, 20)]
            for found, most in zip(left, bounds):
                self.assertLess(found, most, (colours, left))
            self.assertEqual(left, sorted(left, reverse=True), colours)

    def noise_left(self, sigma, colours):
        """Error beside that of a bicubic enlargement. Noise is the same in all colours, or each has its own."""
        image = support.needed(self, "PIL.Image").Image
        truth, small = waves(200, same=True)
        noise = np.random.RandomState(3).randn(1, colours, *small.shape[2:])
        noisy = (small + sigma / 255 * noise).clip(0, 1).astype(np.float32)
        plain = [np.asarray(image.fromarray(colour).resize(truth.shape[:1:-1], image.BICUBIC)) for colour in noisy[0]]
        return self.error(self.enlarge(noisy, RESTORING), truth) / self.error(np.stack(plain)[None], truth)

    def test_old_footage_is_made_alike_wherever_its_pixels_lie_in_a_fold(self):
        """Else edges have dots, and flicker where they move."""
        for soft in (0.7, 1.0, 1.5, 2.5):
            picture = bars(137, 169, soft)
            whole = self.enlarge(picture[..., :136, :168], RESTORING)
            for down, across in ((1, 0), (0, 1), (1, 1)):
                moved = self.enlarge(picture[..., down : down + 136, across : across + 168], RESTORING)
                apart = np.abs(moved[..., : 272 - 2 * down, : 336 - 2 * across] - whole[..., 2 * down :, 2 * across :])
                self.assertLess(np.percentile(apart[..., 24:-24, 24:-24], 99), MOVED / 255, (soft, down, across))

    @staticmethod
    def error(made, truth) -> float:
        return float(np.sqrt(np.mean((made - truth) ** 2)))

    def test_old_footage_keeps_its_brightness_and_what_is_grey_stays_grey(self):
        noise = np.random.RandomState(4)
        for level in (0.1, 0.3, 0.6, 0.9):
            grain = noise.randn(1, 1, 96, 96).repeat(3, 1)
            picture = np.clip(level + 0.03 * grain, 0, 1).astype(np.float32)
            made = self.enlarge(picture, RESTORING)
            self.assertLess(abs(made.mean() - picture.mean()), 1 / 255, level)
            self.assertLess(np.abs(made - made.mean(1, keepdims=True)).mean(), 1 / 255, level)
            self.assertLess(made[..., 16:-16, 16:-16].std(), 0.6 * picture.std(), level)

    def test_in_8_bits_the_upscaler_is_within_a_grey_level_on_average(self):
        picture = support.smooth_picture(90, 120)
        whole, eight = (self.enlarge(picture, name) for name in ENLARGING)
        self.assertGreater(np.abs(eight - whole).max(), 0)
        self.assertLess(np.abs(eight - whole).mean(), 1 / 255)


if __name__ == "__main__":
    unittest.main()
