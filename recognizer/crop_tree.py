"""The folder that `--crops OUT` writes, and that a training reads after a person has corrected it.

OUT/EMOTION/NAME.png    a face in colour at its own size, in the folder of its predicted emotion; a
                        person moves it into the folder of the right one
OUT/_unsure/NAME.png    the same, where no emotion was predicted
OUT/_48x48/NAME.png     the same face as the network saw it: grey, 48×48 pixels
OUT/faces.csv           a row a face: its NAME.png, its photo, its probabilities

Every name of an emotion begins with a letter, so that no emotion's folder is one of those with an
underscore.
"""

TABLE = "faces.csv"

UNSURE_FOLDER = "_unsure"

NETWORK_FOLDER = "_48x48"

FILE, PHOTO, PHOTO_SHA256, EMOTION = "file", "photo", "photo_sha256", "emotion"
"""Columns of the table: the name of the face's files; the path of its photo and the SHA-256 of the
photo's bytes; the predicted emotion, empty where there is none."""
