"""A box around every face, its emotion, and a bar for each probability, drawn on a picture."""

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np

from recognizer.faces import Box
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace

COLOURS = {
    "angry": "#ee6f3b",
    "disgust": "#2bb98e",
    "fear": "#d98dba",
    "happy": "#e9ab2d",
    "sad": "#4d8edb",
    "surprise": "#84cdf3",
    "neutral": "#a09b91",
}
INK, PALE, TRACK, PAPER = "#ffffff", "#c4beb2", "#4a463f", "#171614"

SHORTEST = 640
"""A picture whose longer side has fewer pixels is enlarged, so that the text can be read."""

TEXT_SIZES = (0.018, 0.015, 0.012)
"""Heights of a capital, over the picture's longer side: the largest for which there is room."""

SMALLEST_TEXT = 8
"""Height in pixels of a capital that can just be read."""

SMALLEST_STRIP = 72
"""Width in pixels of a strip with letters that can just be read."""

COARSE = 3
"""A panel is drawn this much larger and scaled down, for OpenCV's letters are coarse."""


def draw(image: np.ndarray, faces: Sequence[RecognizedFace]) -> np.ndarray:
    """Draw boxes, emotions and bars on a copy of a picture.

    Parameters
    ----------
    image : uint8 [H, W, 3]
        BGR.
    faces : sequence of RecognizedFace
        Their boxes are in this picture.

    Returns
    -------
    uint8 [s · H, s · W, 3]
        s is 1 or, for a small picture, the whole number that makes its longer side 640 at least.
    """
    scale = -(-SHORTEST // max(image.shape[:2]))
    picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    boxes = [Box(*(scale * side for side in vars(face.box).values())) for face in faces]
    stroke = max(1, round(max(picture.shape[:2]) / 400))
    for face, box in zip(faces, boxes, strict=True):
        corners = (box.x, box.y), (box.x + box.width - 1, box.y + box.height - 1)
        # The dark rim shows on a bright ground, the colour on a dark one.
        cv2.rectangle(picture, *corners, _bgr(PAPER), 3 * stroke, cv2.LINE_AA)
        cv2.rectangle(picture, *corners, _bgr(_colour(face.emotion)), stroke, cv2.LINE_AA)
    covered = list(boxes)
    for face, box in zip(faces, boxes, strict=True):
        panel, place = _fitting_panel(picture.shape, face, box, covered, 3 * stroke)
        ground = picture[place.y :, place.x :][: place.height, : place.width]
        ground[:] = cv2.addWeighted(panel, 0.88, ground, 0.12, 0)
        covered.append(place)
    return picture


def _fitting_panel(
    shape: tuple[int, ...], face: RecognizedFace, box: Box, covered: list[Box], gap: int
) -> tuple[np.ndarray, Box]:
    """The largest panel that finds room beside the box; in a crowd, a strip below it.

    A face alone in its picture gets a panel in any case, where it covers the least.
    """
    candidates = []
    for size in TEXT_SIZES:
        panel = _panel(face, max(SMALLEST_TEXT, round(size * max(shape))))
        tall, wide = panel.shape[:2]
        right, left = box.x + box.width, box.x - wide
        low, high = box.y + box.height, box.y - tall
        beside = product((right + gap, left - gap), (box.y, low - tall))
        below = product((box.x, right - wide), (low + gap, high - gap))
        for x, y in (*beside, *below):
            candidates.append(_placed(panel, x, y, shape))
    covers = [sum(shared_pixels(place, other) for other in covered) for _, place in candidates]
    best = int(np.argmin(covers))
    if covers[best] == 0 or len(covered) == 1:
        return candidates[best]
    strip = _strip(face, max(SMALLEST_STRIP, box.width))
    x = box.x + (box.width - strip.shape[1]) // 2
    return _placed(strip, x, box.y + box.height + gap, shape)


def _placed(panel: np.ndarray, x: int, y: int, shape: tuple[int, ...]) -> tuple[np.ndarray, Box]:
    """A panel, cut to the picture's size, and its place, pushed back into the picture."""
    panel = panel[: shape[0], : shape[1]]
    tall, wide = panel.shape[:2]
    x, y = min(max(0, x), shape[1] - wide), min(max(0, y), shape[0] - tall)
    return panel, Box(x, y, wide, tall)


def shared_pixels(a: Box, b: Box) -> int:
    """How many pixels lie in both boxes."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0, width) * max(0, height)


def _panel(face: RecognizedFace, size: int) -> np.ndarray:
    """The emotion as a title and a row for each probability; `size` of a capital in pixels."""
    unit = COARSE * size
    margin, row, bar = round(1.1 * unit), round(1.75 * unit), 7 * unit
    title = _title(face)
    names = max(_text_width(name, unit) for name in face.probabilities)
    left = margin + round(0.4 * unit)
    start = left + names + unit
    width = max(start + bar + _text_width(" 100%", unit), left + _text_width(title, 1.4 * unit))
    top = margin + round(2.6 * unit)
    height = top + row * (len(face.probabilities) - 1) + unit + margin

    panel = np.full((height, width + margin, 3), _bgr(PAPER), np.uint8)
    panel[:, : round(0.5 * unit)] = _bgr(_colour(face.emotion))
    _write(panel, title, left, margin + round(1.4 * unit), 1.4 * unit, INK, bold=True)
    for number, (name, p) in enumerate(face.probabilities.items()):
        high, low = top + number * row, top + number * row + unit
        ink, bold = (INK, True) if name == face.emotion else (PALE, False)
        _write(panel, name, left, low, unit, ink, bold)
        panel[high:low, start : start + bar] = _bgr(TRACK)
        panel[high:low, start : start + max(COARSE, round(p * bar))] = _bgr(_colour(name))
        percent = f"{p:.0%}"
        _write(panel, percent, width - _text_width(percent, unit), low, unit, ink, bold)
    return _smooth(panel)


def _strip(face: RecognizedFace, width: int) -> np.ndarray:
    """The emotion over a column for each probability, in the model's order, without names."""
    title = _title(face)
    width *= COARSE
    unit = min(0.1 * width, 0.09 * width * width / _text_width(title, 0.1 * width))
    columns, margin = 0.22 * width, 0.05 * width
    strip = np.full((round(columns + 2.5 * unit), width, 3), _bgr(PAPER), np.uint8)
    _write(strip, title, round(margin), round(1.5 * unit), unit, INK, bold=True)
    step = (width - 2 * margin) / len(face.probabilities)
    foot = strip.shape[0] - round(0.4 * unit)
    for number, (name, p) in enumerate(face.probabilities.items()):
        left, right = round(margin + number * step), round(margin + (number + 0.8) * step)
        high = foot - max(COARSE, round(p * columns))
        strip[high:foot, left:right] = _bgr(_colour(name))
    return _smooth(strip)


def _title(face: RecognizedFace) -> str:
    title = f"{face.emotion} {face.probabilities[face.emotion]:.0%}"
    return f"{face.person}: {title}" if isinstance(face, TrackedFace) else title


def _smooth(panel: np.ndarray) -> np.ndarray:
    size = panel.shape[1] // COARSE, panel.shape[0] // COARSE
    return cv2.resize(panel, size, interpolation=cv2.INTER_AREA)


def _write(panel, text: str, x: int, y: int, size: float, ink: str, bold: bool) -> None:
    """Write with the left end of the base line at (x, y); `size` of a capital in pixels."""
    stroke = max(1, round(size / (6 if bold else 9)))
    cv2.putText(panel, text, (x, y), FONT, size / CAPITAL, _bgr(ink), stroke, cv2.LINE_AA)


def _text_width(text: str, size: float) -> int:
    return cv2.getTextSize(text, FONT, size / CAPITAL, 1)[0][0]


FONT = cv2.FONT_HERSHEY_SIMPLEX
CAPITAL = 21
"""Height of a capital of this font in pixels, at scale 1."""


def _colour(emotion: str) -> str:
    """An emotion's colour; a model may know others than FER-2013's."""
    return COLOURS.get(emotion, INK)


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
