"""YuNet's network, run by onnxruntime, and the decoding of its outputs.

The rows are those of `cv2.FaceDetectorYN`. `api/static/device/network.js` does the same in the
browser.
"""

import cv2
import numpy as np
import onnxruntime

STRIDES = (8, 16, 32)
"""Pixels of the image per cell of each of the three grids of outputs."""

DIVISOR = 32
"""The width and height of the input are multiples of it."""

PADDED_SIDE = 64
"""Pixels; a shorter side of an image is padded by repeating the border."""

MIN_SIDE = 10
"""Least width and height of a face in pixels; YuNet was trained on no smaller faces."""


class YuNetNetwork:
    """YuNet (Wu, Peng & Yu, Machine Intelligence Research 20, 2023). Threads may share it.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    min_confidence : float
        Least confidence of a detection, 0 … 1.
    max_overlap : float
        Of two boxes with a larger intersection over union, the more confident one is kept.
    """

    def __init__(self, model: bytes, min_confidence: float, max_overlap: float):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The images have many sizes; a plan of the memory is for one.
        options.enable_mem_pattern = False
        options.log_severity_level = 4  # errors are exceptions
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]
        self._min_confidence = min_confidence
        self._max_overlap = max_overlap

    def detect(self, image: np.ndarray) -> np.ndarray:
        """Detect the faces in an image.

        Parameters
        ----------
        image : uint8 [H, W, 3]
            BGR.

        Returns
        -------
        float32 [N, 15]
            In pixels of the image: x, y, width and height of the box; x and y of both eyes, the
            nose and both corners of the mouth, the left one in the image first; the confidence.
            The most confident comes first.
        """
        planes = cv2.dnn.blobFromImage(_padded(image))
        found = self._session.run(self._names, {"input": planes})
        outputs = {name: values[0] for name, values in zip(self._names, found, strict=True)}
        rows = np.concatenate(
            [self._decoded(outputs, stride, planes.shape[3] // stride) for stride in STRIDES]
        )
        rows = rows[self._distinct(rows)]
        faces: np.ndarray = rows[(rows[:, 2:4] >= MIN_SIDE).all(axis=1)]
        return faces

    def _decoded(self, outputs: dict[str, np.ndarray], stride: int, columns: int) -> np.ndarray:
        """The rows [N, 15] of one grid, as OpenCV's face_detect.cpp decodes them."""
        classes, objects = (outputs[f"{name}_{stride}"][:, 0].clip(0, 1) for name in ("cls", "obj"))
        confidence = np.sqrt(classes * objects)
        cells = np.flatnonzero(confidence >= self._min_confidence)
        corners = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
        boxes, points = outputs[f"bbox_{stride}"][cells], outputs[f"kps_{stride}"][cells]
        sides = np.exp(boxes[:, 2:]) * stride
        starts = (corners + boxes[:, :2]) * stride - sides / 2
        landmarks = (points + np.tile(corners, 5)) * stride
        return np.concatenate([starts, sides, landmarks, confidence[cells, None]], axis=1)

    def _distinct(self, rows: np.ndarray) -> np.ndarray:
        """Non-maximum suppression on boxes in whole pixels: the rows that stay, in order."""
        boxes = rows[:, :4].astype(int).tolist()
        kept = cv2.dnn.NMSBoxes(
            boxes, rows[:, 14].tolist(), self._min_confidence, self._max_overlap
        )
        return np.array(kept, int).reshape(-1)


def _padded(image: np.ndarray) -> np.ndarray:
    """Repeat the border up to `PADDED_SIDE`, then pad with black to multiples of `DIVISOR`."""
    height, width = image.shape[:2]
    below, beside = max(0, PADDED_SIDE - height), max(0, PADDED_SIDE - width)
    if below or beside:
        image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    below, beside = -image.shape[0] % DIVISOR, -image.shape[1] % DIVISOR
    if below or beside:
        image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    return image
