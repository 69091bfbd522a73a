"""The pipeline: one file is one DVC stage, run as `python -m stages.NAME DATASET`."""

import os
import sys

from stages.tensorflow_notes import QuietTensorFlow

# Its notes would stand between the lines of the stages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.meta_path.insert(0, QuietTensorFlow())
