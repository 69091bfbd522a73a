"""What the model looks at.

A patch of a face is covered, place by place, and the fall of the probability of its emotion
is drawn (occlusion sensitivity; Zeiler and Fergus, Visualizing and Understanding Convolutional
Networks, 2014). It asks nothing of the network but answers, so it explains the very file that
is served.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from recognizer.classifier import Classifier
from stages.dataset.faces import EMOTIONS, SIZE

PATCH = 10
"""Side of the covered square in pixels: about a mouth's height, or an eye with its brow."""

STEP = 4
"""Pixels from one place of the patch to the next."""

FACES = 40
"""Faces of each emotion behind a mean map."""

DRAWN = 6
"""Single faces of each emotion that are drawn."""


def sensitivity_pictures(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw maps of the right answers of which the model is surest.

    Parameters
    ----------
    classifier : Classifier
    images : uint8 [N, 48, 48]
    labels : uint8 [N]
    probabilities : float [N, 7]
        What the classifier says of them.

    Returns
    -------
    means, faces : uint8 [H, W, 3]
        The mean face of each emotion with the mean map, and a few single faces with theirs;
        blue, green, red, as OpenCV writes it.
    """
    faces, maps = [], []
    for emotion in tqdm(range(len(EMOTIONS)), "sensitivity", unit="emotion", disable=None):
        right = np.flatnonzero((labels == emotion) & (probabilities.argmax(axis=1) == emotion))
        surest = right[np.argsort(-probabilities[right, emotion], kind="stable")][:FACES]
        faces.append(list(images[surest]))
        maps.append([sensitivity(classifier, face, emotion) for face in images[surest]])
    return _draw_means(faces, maps), _draw_faces(
        [row[:DRAWN] for row in faces], [row[:DRAWN] for row in maps]
    )


def sensitivity(classifier: Classifier, face: np.ndarray, emotion: int) -> np.ndarray:
    """How far the probability of an emotion falls when a pixel is covered.

    Parameters
    ----------
    classifier : Classifier
    face : uint8 [48, 48]
    emotion : int
        Which probability is watched.

    Returns
    -------
    float64 [48, 48]
        Mean fall over all patches that cover the pixel, −1 … 1; below 0 where covering helps.
    """
    places = [(top, left) for top in _starts() for left in _starts()]
    covered = np.repeat(face[None], len(places), axis=0)
    for image, (top, left) in zip(covered, places, strict=True):
        # The mean of the face draws no edge of its own as black or white would.
        image[top : top + PATCH, left : left + PATCH] = round(face.mean())
    probabilities = classifier.predict(np.concatenate([face[None], covered]))[:, emotion]
    falls, hits = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    for fall, (top, left) in zip(probabilities[0] - probabilities[1:], places, strict=True):
        falls[top : top + PATCH, left : left + PATCH] += fall
        hits[top : top + PATCH, left : left + PATCH] += 1
    return falls / hits


def _starts() -> list[int]:
    # 48 − 10 is no multiple of the step: the last place is moved, so that every pixel is covered.
    return [*range(0, SIZE - PATCH, STEP), SIZE - PATCH]


def _draw_means(faces: list[list[np.ndarray]], maps: list[list[np.ndarray]]) -> np.ndarray:
    """One column per emotion: the mean face, and below it the same under the mean map."""
    figure = Figure(figsize=(1.3 * len(faces), 2.8), dpi=100, layout="constrained")
    panels = figure.subplots(2, len(faces), squeeze=False)
    for column, emotion in enumerate(EMOTIONS):
        panels[0, column].set_title(emotion, fontsize=10)
        if faces[column]:
            mean_face, mean_map = np.mean(faces[column], axis=0), np.mean(maps[column], axis=0)
            _show(panels[0, column], panels[1, column], mean_face, mean_map)
    return _rendered(figure)


def _draw_faces(faces: list[list[np.ndarray]], maps: list[list[np.ndarray]]) -> np.ndarray:
    """One row per emotion: each face, and beside it the same face under its map."""
    columns = max(1, *map(len, faces))
    figure = Figure(figsize=(2.2 * columns + 1, 1.2 * len(faces)), dpi=100)
    panels = figure.subplots(len(faces), 2 * columns, squeeze=False)
    for row, emotion in enumerate(EMOTIONS):
        first = panels[row, 0]
        first.text(-0.15, 0.5, emotion, ha="right", va="center", transform=first.transAxes)
        for column, (face, heat) in enumerate(zip(faces[row], maps[row], strict=True)):
            _show(panels[row, 2 * column], panels[row, 2 * column + 1], face, heat)
    figure.subplots_adjust(left=0.75 / figure.get_figwidth(), right=1, top=1, bottom=0)
    return _rendered(figure)


def _show(plain: Axes, covered: Axes, face: np.ndarray, heat: np.ndarray) -> None:
    plain.imshow(face, cmap="gray", vmin=0, vmax=255)
    covered.imshow(face, cmap="gray", vmin=0, vmax=255)
    # Red where covering costs the answer, blue where it helps.
    limit = max(1e-6, np.abs(heat).max())
    covered.imshow(heat, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.5)


def _rendered(figure: Figure) -> np.ndarray:
    for panel in figure.axes:
        panel.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, 2::-1].copy()
