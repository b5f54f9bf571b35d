"""What old and compressed video does to a face, on the fly.

A face of SIDE pixels is reduced to the size that it has in a video, harmed there, and
enlarged to SIDE again by Catmull-Rom, as the element does before it calls the network. All
choices come from the generator that is given, so the same seed gives the same picture.
Pictures are RGB, uint8, height x width x 3.
"""

import math
from fractions import Fraction

import av
import cv2
import numpy as np
from PIL import Image

SIDE = 256

# Threads of OpenCV would neither help with pictures this small nor survive the fork of a process.
cv2.setNumThreads(1)

# The three levels that results are reported at: reduction, noise (standard deviation of
# 255), quality of JPEG.
LEVELS = {"light": (2, 0, 60), "medium": (4, 4, 40), "heavy": (8, 6, 30)}


def level(truth: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """A face at one of the LEVELS, still small."""
    factor, sigma, quality = LEVELS[name]
    small = resized(truth, truth.shape[0] // factor)
    return jpeg(noisy(small, sigma, rng), quality)


def harm(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face as some video might have it, of the size of `truth` made SIDE."""
    return harm_alike([truth], rng, rng)[0]


def harm_alike(truths, rng: np.random.Generator, noise: np.random.Generator):
    """Several pictures under the same conditions, each with noise of its own: frames of one video."""
    mild = rng.random() < 0.3
    if mild and rng.random() < 0.15:
        return [_whole(truth) for truth in truths]  # good as it is: nothing is to be done
    there, back = _way(_reduction(mild, rng), truths[0].shape[0], rng)
    steps = _steps(mild, rng)
    results = []
    for truth in truths:
        small = there(truth)
        for step in steps:
            small = step(small, noise)
        results.append(back(small))
    return results


def resized(picture: np.ndarray, side: int, how=Image.BICUBIC) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), how))


def _whole(picture: np.ndarray) -> np.ndarray:
    return picture if picture.shape[0] == SIDE else resized(picture, SIDE)


def _reduction(mild: bool, rng) -> float:
    """From 1 to 9 times; most of the weight lies where faces of 30 to 130 pixels are."""
    if mild:
        return rng.uniform(1.0, 2.3)
    low, high = ((1.5, 3.0), (3.0, 5.5), (5.5, 9.0))[rng.choice(3, p=(0.3, 0.4, 0.3))]
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _way(reduction: float, side: int, rng):
    """How a face becomes small and how it is enlarged again.

    Half of the faces lie turned and between pixels in their video, as faces do, so that
    blocks and lines lie turned in what the network sees.
    """
    small = max(16, round(SIDE / reduction))
    if rng.random() < 0.5 or small >= side:
        how = (Image.BICUBIC, Image.BICUBIC, Image.BOX, Image.LANCZOS, Image.BILINEAR)[rng.integers(5)]
        small = min(small, side)
        return (lambda truth: resized(truth, small, how)), _whole
    canvas = math.ceil(small * 1.25)
    centre = (side / 2 + rng.uniform(-4, 4), side / 2 + rng.uniform(-4, 4))
    turn = cv2.getRotationMatrix2D(centre, rng.normal(0, 9), small / side)
    turn[:, 2] += canvas / 2 - np.array(centre)
    softness = rng.uniform(0.35, 0.6) * max(side / small, 1.0)
    grow = np.diag([SIDE / side, SIDE / side, 1.0])
    grow[:2, 2] = (SIDE / side - 1) / 2  # pixels are counted at their middle
    home = (grow @ np.vstack([cv2.invertAffineTransform(turn), [0, 0, 1]]))[:2]

    def there(truth):
        soft = cv2.GaussianBlur(truth, (0, 0), softness)
        return cv2.warpAffine(soft, turn, (canvas, canvas), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    def back(picture):
        return cv2.warpAffine(picture, home, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    return there, back


def _steps(mild: bool, rng):
    """What happens to the small picture, in the order in which it happens to a video."""
    steps = []
    if rng.random() < (0.1 if mild else 0.2):
        sigma = rng.uniform(0.3, 0.6 if mild else 1.1)
        steps.append(lambda small, noise: cv2.GaussianBlur(small, (0, 0), sigma))
    if rng.random() < (0.3 if mild else 0.65):
        strength = rng.uniform(0.5, 2.5) if mild else rng.gamma(2.0, 2.8)
        grain = rng.random() < 0.3
        steps.append(lambda small, noise: noisy(small, strength, noise, grain))
    if not mild and rng.random() < 0.08:
        steps.append(tape(rng))
    if not mild and rng.random() < 0.05:
        steps.append(_interlaced(rng))
    if not mild and rng.random() < 0.01:
        steps.append(_halftone(rng))
    for _ in range(2 if rng.random() < 0.15 else 1):
        kind = rng.random()
        if kind < 0.55:
            quality = int(rng.uniform(55, 96) if mild else rng.uniform(18, 80))
            steps.append(lambda small, noise, quality=quality: jpeg(small, quality))
        elif kind < 0.8:
            codec = "mpeg2video" if rng.random() < 0.3 else "libx264"
            rate = int(rng.integers(18, 27) if mild else rng.integers(22, 39))
            motion = rng.integers(-2, 3, 2)
            steps.append(lambda small, noise, rate=rate, codec=codec: video(small, codec, rate, motion))
    return steps


def noisy(small: np.ndarray, sigma: float, rng, grain: bool = False) -> np.ndarray:
    """Noise of every pixel and colour, or grain: soft, the same in all colours."""
    if sigma <= 0:
        return small
    noise = rng.standard_normal(small.shape[:2] + ((1,) if grain else (3,)), np.float32)
    if grain:
        # A blur of 0.7 pixels leaves 0.4 of the deviation.
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7)[..., None] / 0.4
    return _bytes(small + sigma * noise)


def jpeg(small: np.ndarray, quality: int) -> np.ndarray:
    _, code = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]


def video(small: np.ndarray, codec: str, rate: int, motion) -> np.ndarray:
    """The second frame of a video whose first is the picture moved, so that it is predicted."""
    height, width = small.shape[:2]
    frame = np.pad(small, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    coder = av.CodecContext.create(codec, "w")
    coder.height, coder.width = frame.shape[:2]
    coder.pix_fmt, coder.time_base, coder.thread_count = "yuv420p", Fraction(1, 25), 1
    if codec == "libx264":
        coder.options = {"preset": "veryfast", "crf": str(rate), "tune": "zerolatency"}
    else:
        # From 2, good, to 31.
        coder.flags |= av.codec.context.Flags.qscale
        coder.global_quality = 118 * max(2, (rate - 14))
    reader = av.CodecContext.create("h264" if codec == "libx264" else codec, "r")
    packets = []
    for index, moved in enumerate((np.roll(frame, motion, (0, 1)), frame)):
        picture = _planes(moved)
        picture.pts = index
        packets += coder.encode(picture)
    packets += coder.encode(None)
    frames = [frame for packet in packets for frame in reader.decode(packet)] + reader.decode(None)
    return _picture(frames[-1])[:height, :width]


# BT.601 of limited range: rows are Y, Cb and Cr. The conversions of FFmpeg lose a level each way.
TO_YUV = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]], np.float32) / 255
OFFSET = np.array([16, 128, 128], np.float32)
TO_RGB = np.linalg.inv(TO_YUV).astype(np.float32)


def _planes(picture: np.ndarray):
    """As a frame of 4:2:0."""
    values = picture.astype(np.float32) @ TO_YUV.T + OFFSET
    colours = cv2.resize(values[..., 1:], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    planes = [values[..., 0].ravel(), colours[..., 0].ravel(), colours[..., 1].ravel()]
    stacked = _bytes(np.concatenate(planes)).reshape(-1, picture.shape[1])
    return av.VideoFrame.from_ndarray(stacked, "yuv420p")


def _picture(frame) -> np.ndarray:
    stacked = frame.to_ndarray().ravel()
    height, width = frame.height, frame.width
    luma = stacked[: height * width].reshape(height, width)
    colours = stacked[height * width :].reshape(2, height // 2, width // 2).transpose(1, 2, 0).astype(np.float32)
    colours = cv2.resize(np.ascontiguousarray(colours), (width, height), interpolation=cv2.INTER_LINEAR)
    return _bytes((np.dstack([luma, colours]) - OFFSET) @ TO_RGB.T)


def tape(rng):
    """VHS: colours smeared along the lines and shifted, edges that ring."""
    smear, shift, ring = rng.uniform(1.0, 3.0), int(rng.integers(-2, 3)), rng.uniform(0.2, 1.0)

    def step(small, noise):
        colours = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32)
        luma = colours[..., 0]
        colours[..., 0] = luma + ring * (luma - cv2.GaussianBlur(luma, (0, 0), 1.5, sigmaY=0.01))
        soft = cv2.GaussianBlur(colours[..., 1:], (0, 0), smear, sigmaY=0.3)
        colours[..., 1:] = np.roll(soft, shift, 1)
        return cv2.cvtColor(_bytes(colours), cv2.COLOR_YCrCb2RGB)

    return step


def _interlaced(rng):
    """Every second line a little aside, or doubled."""
    shift = int(rng.integers(-2, 3))

    def step(small, noise):
        small = small.copy()
        lines = small[1::2]
        small[1::2] = np.roll(lines, shift, 1) if shift else small[::2][: len(lines)]
        return small

    return step


def _halftone(rng):
    """The dots of a printed picture, faint."""
    period, angle, depth = rng.uniform(2.5, 4.0), rng.uniform(0, np.pi), rng.uniform(8, 25)

    def step(small, noise):
        down, across = np.mgrid[: small.shape[0], : small.shape[1]] * (2 * np.pi / period)
        dots = np.sin(across * np.cos(angle) + down * np.sin(angle))
        dots *= np.sin(down * np.cos(angle) - across * np.sin(angle))
        return _bytes(small + depth * dots[..., None].astype(np.float32))

    return step


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
