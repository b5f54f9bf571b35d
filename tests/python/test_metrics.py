"""The metrics of the library against scikit-image, OpenCV and numpy on a real clip."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import support

np = support.np

ROOT = Path(__file__).resolve().parents[2]
CACHE = support.fetch.cache_folder()
FRAMES = 24
# A second scene is spliced in here.
CUT = 13

# How far the library may be from the others, as a share of the value; 1e-6 was seen.
ALLOWED = 0.001


def truth(cv2) -> np.ndarray:
    """Luma of the clip that `make setup` fetches, then of the same from its end, mirrored."""
    capture = cv2.VideoCapture(str(CACHE / "media/carphone_pristine.mp4"))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(frame.astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32))
    second = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames[-(FRAMES - CUT) :]]
    return np.stack(frames[:CUT] + second)


def degrade(cv2, frames: np.ndarray) -> tuple:
    """What an upscaler might make of the clip, and that with a careless temporal stage."""
    random = np.random.RandomState(7)
    per_frame = np.stack([cv2.GaussianBlur(frame, (0, 0), 1) for frame in frames])
    per_frame = np.clip(per_frame + random.normal(0, 4, frames.shape), 0, 255).astype(np.float32)
    test = per_frame.copy()
    for number in range(1, FRAMES):
        if number != CUT:
            test[number] = 0.5 * (per_frame[number] + test[number - 1])
    return per_frame, test


def warp(cv2, picture: np.ndarray, flow: np.ndarray) -> tuple:
    """Bilinear, and where it is inside."""
    height, width = picture.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside


class Motion:
    """Flow on the ground truth by dense inverse search, and the masks of Lai et al. (2018)."""

    def __init__(self, cv2, now: np.ndarray, before: np.ndarray):
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grey = [np.rint(frame).astype(np.uint8) for frame in (now, before)]
        self.back = search.calc(grey[0], grey[1], None)
        self.forth = search.calc(grey[1], grey[0], None)
        parts = [warp(cv2, np.ascontiguousarray(self.forth[..., axis]), self.back) for axis in (0, 1)]
        returned, inside = np.stack([part[0] for part in parts], axis=2), parts[0][1]
        square = lambda flow: (flow**2).sum(axis=2)
        missed = square(self.back + returned)
        self.occluded = ~inside | (missed > 0.01 * (square(self.back) + square(returned)) + 0.5)
        self.gradient = np.zeros(now.shape, np.float32)
        self.gradient[:, :-1] += square(np.diff(self.back, axis=1))
        self.gradient[:-1] += square(np.diff(self.back, axis=0))
        self.boundary = self.gradient > 0.01 * square(self.back) + 0.002


def measure(folder: Path, size: tuple, cuts: list) -> dict:
    """Figures and series by the library, by metric."""
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--example", "metrics", "--"]
    command += [str(size[1]), str(size[0]), str(folder), *map(str, cuts)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise AssertionError(run.stderr)
    found = {}
    for line in run.stdout.splitlines():
        name, value, *series = line.split("\t")
        if series:
            pairs = (pair.split(":") for pair in series[0].split())
            found[name] = float(value), {int(number): float(value) for number, value in pairs}
    return found


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.trouble = None
        try:
            import cv2
            import skimage.metrics
        except ImportError as error:
            cls.trouble = f"{error}; install tests/python/requirements.txt"
            return
        cls.cv2, cls.skimage = cv2, skimage.metrics
        cls.truth = truth(cv2)
        cls.per_frame, cls.test = degrade(cv2, cls.truth)
        numbers = range(1, FRAMES)
        cls.motions = {at: Motion(cv2, cls.truth[at], cls.truth[at - 1]) for at in numbers}
        flows = lambda name: np.stack([getattr(cls.motions[at], name).transpose(2, 0, 1) for at in numbers])
        files = {
            "truth": cls.truth,
            "per-frame": cls.per_frame,
            "test": cls.test,
            "back": flows("back"),
            "forth": flows("forth"),
        }
        with tempfile.TemporaryDirectory() as folder:
            for name, samples in files.items():
                samples.astype("<f4").tofile(Path(folder) / name)
            cls.found = measure(Path(folder), cls.truth.shape[1:], [CUT])

    def setUp(self):
        if self.trouble:
            self.skipTest(support.shout(f"{self.id()}: {self.trouble}"))

    def agrees(self, name: str, expected: dict, value: float = None):
        """`expected` has the figure of each frame; `value` is their mean unless given."""
        value = np.mean(list(expected.values())) if value is None else value
        found, series = self.found[name]
        self.assertEqual(set(series), set(expected), name)
        largest = max(abs(figure) for figure in expected.values())
        worst = max(abs(series[at] - expected[at]) for at in expected) / largest
        off = abs(found / value - 1)
        print(f"{name}: {found:.6g}, reference {value:.6g}, off by {off:.1e}, a frame by {worst:.1e}", file=sys.stderr)
        self.assertLess(off, ALLOWED, name)
        self.assertLess(worst, ALLOWED, name)

    def pairs(self):
        """Frames that follow another of their scene."""
        return [at for at in range(1, FRAMES) if at != CUT]

    def test_psnr_is_that_of_scikit_image(self):
        psnr = self.skimage.peak_signal_noise_ratio
        self.agrees("psnr", {at: psnr(self.truth[at], self.test[at], data_range=255) for at in range(FRAMES)})

    def test_ssim_is_that_of_scikit_image(self):
        options = dict(data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        ssim = self.skimage.structural_similarity
        self.agrees("ssim", {at: ssim(self.truth[at], self.test[at], **options) for at in range(FRAMES)})

    def test_the_warping_error_is_that_of_remap_under_the_same_mask(self):
        expected = {}
        for at in self.pairs():
            motion = self.motions[at]
            followed, inside = warp(self.cv2, self.test[at - 1], motion.back)
            counts = inside & ~motion.occluded & ~motion.boundary
            expected[at] = ((self.test[at] - followed)[counts] ** 2).mean() / 255**2
        self.agrees("warping-error", expected)

    def test_the_temporal_difference_error_is_that_of_numpy(self):
        changes = np.abs(np.diff(self.test, axis=0) - np.diff(self.truth, axis=0)).mean(axis=(1, 2))
        self.agrees("tde", {at: changes[at - 1] for at in self.pairs()})

    def test_the_static_deviation_is_that_of_numpy(self):
        expected = {}
        for first, end in ((0, CUT), (CUT, FRAMES)):
            for start in range(first, end - 7, 4):
                window = slice(start, start + 8)
                still = np.ptp(self.truth[window], axis=0) <= 4
                self.assertTrue(still.any())
                expected[start + 7] = self.test[window].std(axis=0)[still].mean()
        self.agrees("sstd", expected)

    def test_sharpness_is_that_of_opencvs_sobel(self):
        def edges(picture):
            across, down = (self.cv2.Sobel(picture, self.cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
            return self.cv2.magnitude(across, down).mean(dtype=np.float64)

        for name, reference in (("sharpness", self.truth), ("sharpness-per-frame", self.per_frame)):
            test, truth = ([edges(frame) for frame in frames] for frames in (self.test, reference))
            expected = {at: test[at] / truth[at] for at in range(FRAMES)}
            self.agrees(name, expected, np.sum(test) / np.sum(truth))

    def test_ghost_is_that_of_remap_and_dilate(self):
        expected = {}
        for at in self.pairs():
            motion = self.motions[at]
            places = (motion.occluded | (motion.gradient > 0.25)).astype(np.uint8)
            places = self.cv2.dilate(places, np.ones((9, 9), np.uint8)) > 0
            if places.any():
                error = lambda frames: np.abs(frames[at] - self.truth[at])[places].mean()
                expected[at] = error(self.test) - error(self.per_frame)
        self.agrees("ghost", expected)


if __name__ == "__main__":
    unittest.main()
