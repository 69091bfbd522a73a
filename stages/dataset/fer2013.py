"""FER-2013's labels (Goodfellow et al., Challenges in Representation Learning, 2013)."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Names of the labels 0 … 6."""
