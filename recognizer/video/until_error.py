"""The frames of a damaged video, before its error is reported."""

from collections.abc import Iterator

from recognizer.errors import VideoError
from recognizer.video.frame import Frame


def until_error(frames: Iterator[Frame], errors: list[VideoError]) -> Iterator[Frame]:
    """Yield frames up to an error, which is kept in `errors` until these frames are processed."""
    try:
        yield from frames
    except VideoError as error:
        errors.append(error)
