"""FER-2013's labels (Goodfellow et al., Challenges in Representation Learning, 2013)."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Names of the labels 0 … 6."""

SPELLINGS = {
    "angry": ("anger", "an"),
    "disgust": ("disgusted", "di"),
    "fear": ("fearful", "afraid", "scared", "af", "fe"),
    "happy": ("happiness", "joy", "ha"),
    "sad": ("sadness", "sa"),
    "surprise": ("surprised", "su"),
    "neutral": ("neutrality", "ne"),
}
"""Other names of the same emotions in lower case, as in AffectNet, CK+, RAF-DB, KDEF and JAFFE."""
