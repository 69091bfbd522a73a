"""Results as text for people and as a pandas DataFrame."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recognizer.optional_packages import MissingPackageError
from recognizer.recognizer import UNSURE, RecognizedFace

if TYPE_CHECKING:
    import pandas

BOX = ("x", "y", "width", "height")

WHOLE_NUMBERS = {"frame": "Int64", "person": "Int64"}
"""The type of pandas with which a column of whole numbers may have missing ones."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "no face", "1 face", "2 faces"."""
    if number == 0:
        return f"no {noun}"
    return f"{number:,} {noun}{'s' * (number != 1)}"


def emotion_text(face: RecognizedFace) -> str:
    """Return the emotion of a face, or "unsure" where it is None."""
    return face.emotion or UNSURE


def box_text(face: RecognizedFace) -> str:
    """Return size and place of a box in pixels: "91×116 at (181, 61)"."""
    return f"{face.box.width}×{face.box.height} at ({face.box.x}, {face.box.y})"


def face_lines(faces: Iterable[RecognizedFace], labels: Sequence[str]) -> list[str]:
    """Return a table with a line for each face; probabilities are in percent."""
    faces = list(faces)
    if not faces:
        return []
    named = max(len("emotion"), *(len(emotion_text(face)) for face in faces))
    lines = ["  ".join([f"{'emotion':<{named}}", *(f"{name:>3}" for name in labels), "box"])]
    for face in faces:
        percent = (f"{100 * p:{max(3, len(name))}.0f}" for name, p in face.probabilities.items())
        lines.append("  ".join([f"{emotion_text(face):<{named}}", *percent, box_text(face)]))
    return lines


def face_row(face: RecognizedFace) -> dict[str, Any]:
    """Return the box, the detector's confidence, the emotion and each probability as one row."""
    row: dict[str, Any] = {side: getattr(face.box, side) for side in BOX}
    return row | {"confidence": face.confidence, "emotion": face.emotion} | face.probabilities


def face_columns(labels: Sequence[str]) -> list[str]:
    """Return the keys of `face_row`."""
    return [*BOX, "confidence", "emotion", *labels]


def data_frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> "pandas.DataFrame":
    """Return rows as a pandas DataFrame, which may have no row.

    Raises
    ------
    MissingPackageError
        pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        message = "to_frame() needs the package pandas, which is not installed: pip install pandas"
        raise MissingPackageError(message, name="pandas") from error
    frame = pandas.DataFrame(rows, columns=columns)
    return frame.astype({name: kind for name, kind in WHOLE_NUMBERS.items() if name in columns})
