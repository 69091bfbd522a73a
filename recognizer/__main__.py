"""Recognize the emotions in photos: `python -m recognizer PHOTO… [--faces haar|whole] [--json]`."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import cv2

from recognizer.classifier import Classifier
from recognizer.errors import ImageError, ModelError
from recognizer.faces import DETECTORS
from recognizer.image import decode
from recognizer.recognizer import RecognizedFace, Recognizer

MODEL = Path("models/fer2013/model.onnx")


def main() -> int:
    """Read the arguments, print what is found in each photo, and return the exit status."""
    arguments = _parser().parse_args()
    # A damaged photo is reported once, by this program.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        classifier = Classifier(arguments.model)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    recognizer = Recognizer(classifier, DETECTORS[arguments.faces]())
    show = _print_json if arguments.json else _print_text
    status = 0
    for path in arguments.photos:
        try:
            image = decode(path.read_bytes())
        except (OSError, ImageError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(f"error: {path}: {reason}", file=sys.stderr)
            status = 1
            continue
        show(path, image.shape, recognizer.recognize(image), classifier)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recognizer",
        description="Find the faces in photos and print the emotion that each one shows.",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="an image file")
    parser.add_argument(
        "--faces",
        choices=list(DETECTORS),
        default="haar",
        help="how faces are found: haar (OpenCV's frontal cascade, the default), or whole (each"
        " photo is one face)",
    )
    parser.add_argument(
        "--model", type=Path, default=MODEL, help=f"the model file (default: {MODEL})"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per photo and line"
    )
    return parser


def _print_json(
    path: Path, shape: tuple[int, int], faces: list[RecognizedFace], classifier: Classifier
) -> None:
    height, width = shape
    answer = {
        "path": str(path),
        "image": {"width": width, "height": height},
        "faces": [asdict(face) for face in faces],
        "model": {"version": classifier.version, "dataset": classifier.dataset},
    }
    print(json.dumps(answer), flush=True)


def _print_text(
    path: Path, shape: tuple[int, int], faces: list[RecognizedFace], classifier: Classifier
) -> None:
    height, width = shape
    count = {0: "no face", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
    print(f"{path} ({width}×{height}): {count}")
    for face in faces:
        box = face.box
        others = "  ".join(f"{name} {p:.2f}" for name, p in face.probabilities.items())
        place = f"{box.width}×{box.height} at ({box.x}, {box.y})"
        print(f"  {face.emotion:<9}{place}, confidence {face.confidence:.2f}\n    {others}")


if __name__ == "__main__":
    sys.exit(main())
