"""The emotion of every face in a photo or a video, by one call.

>>> import facial_expression as fe
>>> photo = fe.analyze("photo.jpg")
>>> photo[0].emotion
'happy'

analysis.py   the call `analyze`
sources.py    the pixels of a file, bytes, a NumPy array or a PIL image
results.py    what the call returns: photos, videos, their faces
table.py      results as text and as a pandas DataFrame

The recognition itself is in the package `recognizer`.
"""

from facial_expression.analysis import analyze
from facial_expression.results import Face, Frame, Model, Photo, Results, Video
from recognizer.errors import (
    DetectorError,
    ImageError,
    ModelError,
    TooManyPixelsError,
    VideoError,
)
from recognizer.optional_packages import MissingPackageError

__all__ = [
    "DetectorError",
    "Face",
    "Frame",
    "ImageError",
    "MissingPackageError",
    "Model",
    "ModelError",
    "Photo",
    "Results",
    "TooManyPixelsError",
    "Video",
    "VideoError",
    "analyze",
]
