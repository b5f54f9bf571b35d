"""Where YuNet sees a face and its five points, for choosing data and for judging results."""

import numpy as np
import onnxruntime

STRIDES = (8, 16, 32)

# Two boxes that share more than this are one face.
SAME = 0.3


class Detector:
    def __init__(self, path: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def faces(self, picture: np.ndarray, least: float = 0.3):
        """Score, box (centre and size) and points of every face, the surest first.

        The picture is RGB, uint8, its sides multiples of 32.
        """
        height, width = picture.shape[:2]
        blob = picture[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None]
        made = dict(zip(self.names, self.session.run(None, {"input": blob})))
        found = []
        for stride in STRIDES:
            down, across = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
            corner = np.stack([across, down], 1)
            score = np.sqrt(np.clip(made[f"cls_{stride}"][0, :, 0] * made[f"obj_{stride}"][0, :, 0], 0, 1))
            box = made[f"bbox_{stride}"][0]
            centre, size = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
            points = (made[f"kps_{stride}"][0].reshape(-1, 5, 2) + corner[:, None]) * stride
            found += [(score[at], centre[at], size[at], points[at]) for at in np.flatnonzero(score >= least)]
        found.sort(key=lambda face: -face[0])
        kept = []
        for face in found:
            if all(_shared(face, other) < SAME for other in kept):
                kept.append(face)
        return kept


def _shared(one, other) -> float:
    """Intersection of two boxes over their union."""
    low = np.maximum(one[1] - one[2] / 2, other[1] - other[2] / 2)
    high = np.minimum(one[1] + one[2] / 2, other[1] + other[2] / 2)
    both = np.prod(np.maximum(high - low, 0))
    return both / (np.prod(one[2]) + np.prod(other[2]) - both)
