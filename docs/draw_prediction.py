"""Draw README's picture: `python -m docs.draw_prediction PHOTO PICTURE`.

The photo with a box around every face, and beside it the seven probabilities of
the largest one, from models/fer2013/model.onnx the way the server uses it.
"""

import argparse
from pathlib import Path

import cv2
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from recognizer.classifier import Classifier
from recognizer.faces import HaarDetector
from recognizer.image import decode
from recognizer.recognizer import Recognizer

INK, ACCENT, PALE = "#1f2933", "#d9480f", "#ced4da"


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()

    recognizer = Recognizer(Classifier(Path("models/fer2013/model.onnx")), HaarDetector())
    faces = recognizer.recognize(decode(arguments.photo.read_bytes()))

    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(cv2.cvtColor(cv2.imread(str(arguments.photo)), cv2.COLOR_BGR2RGB))
    left.axis("off")
    for face in faces:
        box = face.box
        corner = (box.x, box.y)
        left.add_patch(Rectangle(corner, box.width, box.height, fill=False, ec=ACCENT, lw=2.5))
        label = f"{face.emotion} {face.probabilities[face.emotion]:.0%}"
        left.text(box.x, box.y - 10, label, color="white", weight="bold", backgroundcolor=ACCENT)

    names, values = zip(*reversed(faces[0].probabilities.items()), strict=True)
    bars = right.barh(names, values, color=[ACCENT if v == max(values) else PALE for v in values])
    right.bar_label(bars, [f"{value:.1%}" for value in values], padding=4, color=INK)
    right.set_xlim(0, 1.15)
    right.xaxis.set_visible(False)
    right.tick_params(axis="y", length=0, colors=INK, labelsize=11)
    right.spines[:].set_visible(False)
    figure.savefig(arguments.picture)


if __name__ == "__main__":
    main()
