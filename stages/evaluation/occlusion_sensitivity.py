"""Which parts of a face a prediction depends on: maps of occlusion sensitivity.

A patch of the face is covered, place by place, and the fall of the probability of its emotion is
drawn (Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014). This needs
nothing but predictions, so it is computed with the served file.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from recognizer.classifier import Classifier
from stages.dataset.faces import SIZE, Faces

PATCH = 10
"""Side of the covered square in pixels: about the height of a mouth, or of an eye and its brow."""

STEP = 4
"""Distance in pixels between neighbouring places of the patch."""

FACES = 40
"""Faces of each emotion that a mean map is computed from."""

LEAST = 20
"""Faces of an emotion below which its mean face is not drawn: it would show who they are, and the
picture of the means is in git."""

DRAWN = 6
"""Single faces of each emotion that are drawn."""


def sensitivity_pictures(
    classifier: Classifier, split: Faces, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw maps of the correct predictions of highest confidence.

    Parameters
    ----------
    classifier : Classifier
    split : Faces
    probabilities : float [N, C]
        The classifier's predictions for the faces.

    Returns
    -------
    means, faces : uint8 [H, W, 3]
        BGR pictures: the mean face of each emotion with the mean map, of `LEAST` faces or more,
        and a few single faces with their maps.
    """
    images, labels, names = split.images, split.labels, split.emotions
    faces, maps = [], []
    for emotion in tqdm(range(len(names)), "sensitivity", unit="emotion", disable=None):
        correct = np.flatnonzero((labels == emotion) & (probabilities.argmax(axis=1) == emotion))
        order = np.argsort(-probabilities[correct, emotion], kind="stable")
        chosen = correct[order[:FACES]]
        faces.append(list(images[chosen]))
        maps.append([sensitivity(classifier, face, emotion) for face in images[chosen]])
    return _draw_means(names, faces, maps), _draw_faces(
        names, [row[:DRAWN] for row in faces], [row[:DRAWN] for row in maps]
    )


def sensitivity(classifier: Classifier, face: np.ndarray, emotion: int) -> np.ndarray:
    """Compute by how much the probability of an emotion falls when a pixel is covered.

    Parameters
    ----------
    classifier : Classifier
    face : uint8 [48, 48]
    emotion : int
        Index of the probability.

    Returns
    -------
    float64 [48, 48]
        Mean fall over all patches that cover the pixel, −1 … 1; negative where the probability
        rises.
    """
    places = [(top, left) for top in _starts() for left in _starts()]
    covered = np.repeat(face[None], len(places), axis=0)
    for image, (top, left) in zip(covered, places, strict=True):
        # The mean grey level makes weaker edges than black or white.
        image[top : top + PATCH, left : left + PATCH] = round(face.mean())
    probabilities = classifier.predict(np.concatenate([face[None], covered]))[:, emotion]
    falls, hits = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    for fall, (top, left) in zip(probabilities[0] - probabilities[1:], places, strict=True):
        falls[top : top + PATCH, left : left + PATCH] += fall
        hits[top : top + PATCH, left : left + PATCH] += 1
    return falls / hits


def _starts() -> list[int]:
    # 48 − 10 is no multiple of STEP: the last place is added, so that every pixel is covered.
    return [*range(0, SIZE - PATCH, STEP), SIZE - PATCH]


def _draw_means(
    names: tuple[str, ...], faces: list[list[np.ndarray]], maps: list[list[np.ndarray]]
) -> np.ndarray:
    """One column per emotion: the mean face, and below it the mean face with the mean map."""
    figure = Figure(figsize=(1.3 * len(faces), 2.8), dpi=100, layout="constrained")
    panels = figure.subplots(2, len(faces), squeeze=False)
    for column, emotion in enumerate(names):
        panels[0, column].set_title(emotion, fontsize=10)
        if len(faces[column]) < LEAST:
            middle = panels[0, column].transAxes
            note = f"fewer than\n{LEAST} correct"
            panels[0, column].text(0.5, 0.5, note, ha="center", va="center", transform=middle)
        else:
            mean_face, mean_map = np.mean(faces[column], axis=0), np.mean(maps[column], axis=0)
            _show(panels[0, column], panels[1, column], mean_face, mean_map)
    return _rendered(figure)


def _draw_faces(
    names: tuple[str, ...], faces: list[list[np.ndarray]], maps: list[list[np.ndarray]]
) -> np.ndarray:
    """One row per emotion: each face, and beside it the same face with its map."""
    columns = max(1, *map(len, faces))
    figure = Figure(figsize=(2.2 * columns + 1, 1.2 * len(faces)), dpi=100)
    panels = figure.subplots(len(faces), 2 * columns, squeeze=False)
    for row, emotion in enumerate(names):
        first = panels[row, 0]
        first.text(-0.15, 0.5, emotion, ha="right", va="center", transform=first.transAxes)
        for column, (face, heat) in enumerate(zip(faces[row], maps[row], strict=True)):
            _show(panels[row, 2 * column], panels[row, 2 * column + 1], face, heat)
    figure.subplots_adjust(left=0.75 / figure.get_figwidth(), right=1, top=1, bottom=0)
    return _rendered(figure)


def _show(plain: Axes, covered: Axes, face: np.ndarray, heat: np.ndarray) -> None:
    plain.imshow(face, cmap="gray", vmin=0, vmax=255)
    covered.imshow(face, cmap="gray", vmin=0, vmax=255)
    # Red where covering lowers the probability, blue where it raises it.
    limit = max(1e-6, np.abs(heat).max())
    covered.imshow(heat, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.5)


def _rendered(figure: Figure) -> np.ndarray:
    for panel in figure.axes:
        panel.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, 2::-1].copy()
