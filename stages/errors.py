"""The error that a person can correct."""


class UserError(Exception):
    """Something that the person who runs a stage can correct.

    The message is one line: what was wrong, where (file, row, key), what was
    expected, and what to do next. `stages.command_line` prints it and exits with
    status 1; every other exception is a bug and keeps its traceback.
    """
