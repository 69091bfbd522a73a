"""Errors that a caller can cause. Each message is one sentence that can be shown to a user."""


class ImageError(ValueError):
    """The bytes are not an image that can be decoded."""


class TooManyPixelsError(ImageError):
    """The image has more pixels than the caller allows."""


class ModelError(ValueError):
    """The model file cannot be used."""


class VideoError(ValueError):
    """The file is not a video that can be decoded, or it is damaged or cut short."""


class OutputError(ValueError):
    """An output cannot be written."""


class WorkersError(RuntimeError):
    """The worker processes cannot be reached, or are lost."""


class DetectorError(ValueError):
    """The detector is unknown, or its model file is missing or not the expected one."""
