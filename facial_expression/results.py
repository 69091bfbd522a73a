"""What `analyze` returns: photos and videos, their faces, and the model that classified them."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import cv2
import numpy as np

from facial_expression.sources import Channels, Source, read_image
from facial_expression.table import (
    box_text,
    counted,
    data_frame,
    emotion_text,
    face_columns,
    face_lines,
    face_row,
)
from recognizer.optional_packages import MissingPackageError, needs_package
from recognizer.recognizer import RecognizedFace

if TYPE_CHECKING:
    import pandas
    import PIL.Image

PREVIEW_SIDE = 1024
"""Most pixels along a side of the picture of a photo in Jupyter."""

PREVIEW_LINES = 20
"""Most results that `Results` prints."""


@dataclass(frozen=True)
class Model:
    """The model that classified the faces."""

    dataset: str
    """The dataset that it was trained on."""
    version: str
    """SHA-256 of the model file, in hexadecimal digits."""
    labels: tuple[str, ...]
    """Names of the emotions, in the order of the probabilities."""


@dataclass(frozen=True, repr=False)
class Face(RecognizedFace):
    """A face with its emotion; boxes and points are in pixels of the upright photo or frame."""

    person: int | None = None
    """In a video: number of the person, from 1, in the order of appearance."""

    @property
    def probability(self) -> float:
        """The highest of the probabilities, 0 … 1."""
        return max(self.probabilities.values())

    def __repr__(self) -> str:
        person = "" if self.person is None else f"person {self.person}, "
        return f"<Face: {person}{_emotion(self)}, {box_text(self)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, as in the server's JSON."""
        fields = asdict(self)
        if self.person is None:
            del fields["person"]
        return fields


@dataclass(frozen=True, repr=False)
class Photo(Sequence[Face]):
    """The faces in a photo, the largest first: `photo[0]`, `len(photo)`, `for face in photo`."""

    path: str | None
    """None if the photo was not given as a path."""
    width: int
    """Of the upright photo in pixels."""
    height: int
    faces: tuple[Face, ...]
    model: Model
    source: Source = field(compare=False)
    """As given to `analyze`; `draw` reads it again."""
    channels: Channels = field(default="bgr", compare=False)
    """Order of the colours, if `source` is an array."""

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Face, ...]: ...
    def __getitem__(self, index: int | slice) -> Face | tuple[Face, ...]:
        return self.faces[index]

    def __len__(self) -> int:
        return len(self.faces)

    def __str__(self) -> str:
        return "\n".join([_photo_title(self), *face_lines(self.faces, self.model.labels)])

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return path, size, faces and model as plain Python values, which JSON can hold."""
        return {
            "path": self.path,
            "image": {"width": self.width, "height": self.height},
            "faces": [face.to_dict() for face in self.faces],
            "model": _model_dict(self.model),
        }

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with a row for each face.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return data_frame(self._rows(), ["path", *face_columns(self.model.labels)])

    def _rows(self) -> Iterator[dict[str, Any]]:
        return ({"path": self.path} | face_row(face) for face in self.faces)

    def draw(self) -> "PIL.Image.Image":
        """Draw boxes, emotions and bars on the photo at its full size.

        A photo with a shorter long side than 640 pixels is enlarged.

        Raises
        ------
        MissingPackageError
            Pillow is not installed.
        OSError, ImageError
            The file cannot be read any more.
        """
        return _drawn(read_image(self.source, self.channels, long_side=None).pixels, self.faces)

    def _repr_png_(self) -> bytes | None:
        """The picture that Jupyter shows; without Pillow, Jupyter shows the text."""
        try:
            picture = self.draw()
        except MissingPackageError:
            return None
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


@dataclass(frozen=True)
class Frame:
    """The faces in one frame of a video, the largest first."""

    index: int
    """Number of the frame in its video, from 0."""
    seconds: float
    """Time at which a player shows the frame, rounded to milliseconds."""
    faces: tuple[Face, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values."""
        return {
            "frame": self.index,
            "seconds": self.seconds,
            "faces": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True, repr=False)
class Video(Sequence[Frame]):
    """The analyzed frames of a video: `video[0]`, `len(video)`, `for frame in video`."""

    path: str
    width: int
    """Of the upright picture in pixels."""
    height: int
    frames: tuple[Frame, ...]
    model: Model
    source: Path = field(compare=False)
    """The absolute path, from which `draw` reads a frame."""
    problem: str | None = None
    """Why frames are missing, if the file is damaged or cut short."""

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Frame, ...]: ...
    def __getitem__(self, index: int | slice) -> Frame | tuple[Frame, ...]:
        return self.frames[index]

    def __len__(self) -> int:
        return len(self.frames)

    def __str__(self) -> str:
        lines = [_video_title(self)]
        for person, emotions in _emotions_by_person(self).items():
            shares = (
                f"{name} {emotions.count(name) / len(emotions):.0%}"
                for name in sorted(set(emotions), key=lambda name: (-emotions.count(name), name))
            )
            lines.append(f"person {person}, {counted(len(emotions), 'frame')}: {', '.join(shares)}")
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return path, size, frames and model as plain Python values, which JSON can hold."""
        return {
            "path": self.path,
            "image": {"width": self.width, "height": self.height},
            "frames": [frame.to_dict() for frame in self.frames],
            "problem": self.problem,
            "model": _model_dict(self.model),
        }

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with a row for each face in each frame.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        columns = ["path", "frame", "seconds", "person", *face_columns(self.model.labels)]
        return data_frame(self._rows(), columns)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for frame in self.frames:
            for face in frame.faces:
                place = {"path": self.path, "frame": frame.index, "seconds": frame.seconds}
                yield place | {"person": face.person} | face_row(face)

    def draw(self, frame: Frame | None = None) -> "PIL.Image.Image":
        """Draw boxes, emotions and bars on one frame, which is read from the file again.

        Parameters
        ----------
        frame : Frame, optional
            A frame of this video; by default the first one with the most faces.

        Raises
        ------
        MissingPackageError
            Pillow is not installed.
        VideoError
            The file cannot be read any more.
        """
        from facial_expression.analysis import read_frame

        shown = frame or max(self.frames, key=lambda frame: len(frame.faces))
        return _drawn(read_frame(self.source, shown.index), shown.faces)


class Results(list["Photo | Video"]):
    """The results of a list, in its order."""

    def __str__(self) -> str:
        videos = sum(isinstance(item, Video) for item in self)
        title = counted(len(self) - videos, "photo")
        lines = [f"{title}, {counted(videos, 'video')}" if videos else title]
        lines += [_summary(item) for item in self[:PREVIEW_LINES]]
        if len(self) > PREVIEW_LINES:
            lines.append(f"… and {len(self) - PREVIEW_LINES:,} more")
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the dictionary of each result."""
        return [item.to_dict() for item in self]

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with a row for each face; `item` is its index in the list.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        rows = [{"item": index} | row for index, item in enumerate(self) for row in item._rows()]
        columns = ["item", "path"]
        if any(isinstance(item, Video) for item in self):
            columns += ["frame", "seconds", "person"]
        labels = self[0].model.labels if self else ()
        return data_frame(rows, [*columns, *face_columns(labels)])


def _emotion(face: Face) -> str:
    return f"{emotion_text(face)} {face.probability:.0%}"


def _photo_title(photo: Photo) -> str:
    return f"{photo.path or 'photo'}, {photo.width}×{photo.height}, {counted(len(photo), 'face')}"


def _video_title(video: Video) -> str:
    seconds = video.frames[-1].seconds if video.frames else 0.0
    persons = counted(len(_emotions_by_person(video)), "person")
    size = f"{video.width}×{video.height}"
    return f"{video.path}, {size}, {counted(len(video), 'frame')} in {seconds:.1f} s, {persons}"


def _summary(item: Photo | Video) -> str:
    if isinstance(item, Video):
        return _video_title(item)
    return f"{item.path or 'photo'}: {', '.join(map(_emotion, item)) or 'no face'}"


def _emotions_by_person(video: Video) -> dict[int, list[str]]:
    emotions: dict[int, list[str]] = {}
    for frame in video.frames:
        for face in frame.faces:
            if face.person is not None:
                emotions.setdefault(face.person, []).append(emotion_text(face))
    return emotions


def _model_dict(model: Model) -> dict[str, str]:
    return {"dataset": model.dataset, "version": model.version}


def _drawn(pixels: np.ndarray, faces: Sequence[Face]) -> "PIL.Image.Image":
    """Draw faces on pixels, uint8 [H, W, 3], BGR."""
    try:
        from PIL import Image

        from recognizer.cli.drawing import draw
    except ModuleNotFoundError as error:
        message = needs_package("draw()", error, "draw")
        raise MissingPackageError(message, name=error.name) from error
    return Image.fromarray(cv2.cvtColor(draw(pixels, faces), cv2.COLOR_BGR2RGB))
