"""The pipeline. A DVC stage is one file, run as `python -m stages.NAME DATASET`.

In their order: fetch.py, validate.py, balance.py, train.py, export.py, evaluate.py. The other files
are used by several stages:

parameters.py        params.yaml as types
artifacts.py         paths of the files, and how arrays and metrics are written
command_line.py      the command line of every stage
teachers.py          the networks of experiments/teachers
errors.py            the error for what a user can correct
tensorflow_notes.py  the import of TensorFlow without its start-up messages
"""

import os
import sys

from stages.tensorflow_notes import QuietTensorFlow

# TensorFlow's notes would stand between the log lines of the stages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.meta_path.insert(0, QuietTensorFlow())
