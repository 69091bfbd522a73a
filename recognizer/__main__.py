"""`python -m recognizer`: the command line in `recognizer/cli/`."""

import sys

from recognizer.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
