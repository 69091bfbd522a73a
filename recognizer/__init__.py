"""From a photo to the emotion of each face in it: decode, detect, align, classify.

image.py        bytes to pixels, safely; image_header.py reads their number first
faces.py        the detectors by name; detectors/ has them
cropping.py     the 48×48 crop that the model expects, turned upright
classifier.py   model.onnx: its contract, its description, its probabilities
recognizer.py   all of it in a row

The command line, `python -m recognizer`:

inputs.py       photos and videos that paths, folders and patterns name
video/          the frames of a video, who is who in them, files that browsers play
work.py         what one process does with a photo or a frame; workers.py the processes
answers.py      the run: one answer after the other, in the order of the inputs
terminal.py     as a table, csv_table.py as a CSV that can be resumed
drawing.py      boxes, labels and bars; annotate.py, annotate_video.py draw copies
lettering.py    the labels' text, in the font of fonts/
timeline.py     the plot of a video
destination.py  where results go; atomic_file.py writes them whole
errors.py       the errors that a caller can cause
version.py      the version of the package
"""

import os

# onnxruntime reports its use to its makers unless told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
