"""What a caller can get wrong. Every message is one sentence that may be shown as it is."""


class ImageError(ValueError):
    """The bytes are no image that can be used."""


class TooManyPixelsError(ImageError):
    """The image is larger than the caller allows."""


class ModelError(ValueError):
    """The file is no model that can be served."""
