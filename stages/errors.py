"""The error for what a user can correct."""


class UserError(Exception):
    """An error that the user can correct.

    The message is one line: what was wrong, where (file, row, key), what was expected, and what to
    do next. `stages.command_line` prints it and exits with status 1. Every other exception is a bug
    and keeps its traceback.
    """
