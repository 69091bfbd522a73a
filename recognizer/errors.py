"""What a caller can get wrong. Every message is one sentence that may be shown as it is."""


class ImageError(ValueError):
    """The bytes are no image that can be used."""


class TooManyPixelsError(ImageError):
    """The image is larger than the caller allows."""


class ModelError(ValueError):
    """The file is no model that can be served."""


class VideoError(ValueError):
    """The file is no video that can be used, or ends too early."""


class OutputError(ValueError):
    """What was asked for cannot be written where it was asked for."""


class WorkersError(RuntimeError):
    """The processes that were to do the work are not there, or are lost."""


class DetectorError(ValueError):
    """There is no such detector, or its model file is missing or another one."""
