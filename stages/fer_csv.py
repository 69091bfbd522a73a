"""The FER-2013 CSV format: `emotion,pixels,Usage`. No other file knows it."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Names of the labels 0 … 6."""

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""Names of the `Usage` values, coded 0, 1, 2 in faces.npz."""

SIZE = 48
"""Height and width of a face in pixels."""

HEADER = "emotion,pixels,Usage"


def format_row(label: int, pixels: str, split: str) -> str:
    """One line of the CSV without its line end; `pixels` is 2304 grey levels joined by blanks."""
    return f"{label},{pixels},{split}"
