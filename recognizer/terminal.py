"""What a run prints: a table for people, or a line of JSON for each answer."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace
from recognizer.work import Answer


def json_line(answer: Answer, version: str, dataset: str) -> str:
    """One answer as a JSON object; of a file that cannot be read, its path and error only."""
    line: dict = {"path": str(answer.path)}
    if answer.error:
        return json.dumps(line | {"error": answer.error})
    if answer.frame is not None:
        line |= {"frame": answer.frame, "seconds": answer.seconds}
    line |= {
        "image": {"width": answer.width, "height": answer.height},
        "faces": [asdict(face) for face in answer.faces],
        "model": {"version": version, "dataset": dataset},
    }
    return json.dumps(line)


def table_head(labels: Sequence[str]) -> str:
    """The line above the table; probabilities are in percent."""
    return "  ".join(
        [f"{'emotion':<13}", *labels, f"{'size and place':<22}", f"{'sure':>4}", "where"]
    )


def table_lines(answer: Answer, labels: Sequence[str]) -> list[str]:
    """A line for each face, or one that says that there is none."""
    where = str(answer.path)
    if answer.seconds is not None:
        where += f" {answer.seconds // 60:.0f}:{answer.seconds % 60:06.3f}"
    if not answer.faces:
        return [f"no face{'':<{len(table_head(labels)) - len('no face') - len('where')}}{where}"]
    return [_table_line(face, where) for face in answer.faces]


def _table_line(face: RecognizedFace, where: str) -> str:
    box = face.box
    if isinstance(face, TrackedFace):
        where += f" person {face.person}"
    return "  ".join(
        [
            f"{face.emotion:<8} {face.probabilities[face.emotion]:4.0%}",
            *(f"{100 * p:{len(name)}.0f}" for name, p in face.probabilities.items()),
            f"{f'{box.width}×{box.height} at ({box.x}, {box.y})':<22}",
            f"{face.confidence:4.0%}",
            where,
        ]
    )
