"""The command line of every stage: `python -m stages.NAME DATASET`."""

import argparse
import logging
import sys
from collections.abc import Callable

from recognizer.errors import OutputError
from stages.errors import UserError
from stages.parameters import Parameters, load_parameters


def run(main: Callable[[str, Parameters], None], description: str) -> None:
    """Read the dataset's name and parameters, call `main` with both, and exit.

    A `UserError` or `OutputError` becomes one line on standard error and exit status 1.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("dataset", help="a block of params.yaml, for instance sample or fer2013")
    dataset = parser.parse_args().dataset
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # Our own lines, not those of every library: the running stage is `__main__`.
    for name in ("__main__", "stages"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        main(dataset, load_parameters(dataset))
    except (UserError, OutputError) as error:
        sys.exit(f"error: {error}")
