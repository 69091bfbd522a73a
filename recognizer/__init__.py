"""From a photo to the emotion of each face in it: decode, detect, align and crop, classify.

The library, in reading order:

image.py              bytes to pixels; image_header.py reads format and size before the decoding
classifier.py         model.onnx: its contract, its metadata, its probabilities
onnx_operators.py     the operators that a model file may have
cropping.py           the upright square crop of a face
face_cropper.py       detector and crops in a row
recognizer.py         detector, crops and classifier in a row
training_distribution.py  brightness and contrast of faces, and their distribution over Training
crop_tree.py          the folder of crops that a person corrects and a training reads
detectors/            YuNet; the whole image as one face
video/                frames, cuts, tracking, writing
errors.py             the errors that a caller can cause
atomic_file.py        atomic writing of files, for the other packages too
regular_file.py       reading of files that are no pipe or device, up to a size
csv_cells.py          cells that no spreadsheet takes for a formula
printable.py          names without characters that control a terminal

released_models.py    the models that come with this package
optional_packages.py  the message for a package that only some inputs need

The command line, `python -m recognizer`, is in cli/. The library does not import it.
"""

import os

# onnxruntime sends usage data to its maker unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
