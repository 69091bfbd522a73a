"""The pipeline: one file is one DVC stage, run as `python -m stages.NAME DATASET`."""

import os

# TensorFlow's start-up notes would bury the stages' own lines; it reads this when first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
