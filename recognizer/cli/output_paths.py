"""The path of the output for each input: one file for one input, a folder for many."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recognizer.cli.inputs import folder_of, is_folder, is_pattern, real_path
from recognizer.errors import OutputError


@dataclass(frozen=True)
class OutputPaths:
    """A file for the only input, or a folder that repeats the folders of the inputs."""

    out: Path
    root: Path | None
    """The folder that contains all inputs; None if `out` is a file."""

    def path(self, source: Path, suffixes: Sequence[str]) -> Path:
        """The file to write for an input.

        It has the name of the input. If that ends in none of `suffixes`, the first of them is
        appended, so that the outputs of `a.mov` and `a.mp4` differ.
        """
        if self.root is None:
            return self.out
        place = self.out / _absolute(source).relative_to(self.root)
        if place.suffix.lower() in suffixes:
            return place
        return place.with_name(place.name + suffixes[0])


def choose_output_paths(
    option: str, out: Path, arguments: Sequence[str], suffixes: Sequence[str]
) -> OutputPaths:
    """Decide between a file and a folder.

    Parameters
    ----------
    option : str
        The option that named `out`, for messages.
    out : Path
    arguments : sequence of str
        The paths and patterns that name the inputs.
    suffixes : sequence of str
        Suffixes that the file for one input may have.

    Raises
    ------
    OutputError
        An input could be overwritten, many inputs would share one file, or the file for one
        input has another suffix.
    """
    one = len(arguments) == 1 and not is_pattern(arguments[0]) and not is_folder(arguments[0])
    if one and not out.is_dir():
        if real_path(out) == real_path(arguments[0]):
            raise OutputError(f"{option} {out}: is the input itself; name another file")
        if out.suffix.lower() not in suffixes:
            raise OutputError(f"{option} {out}: expected a name that ends in {', '.join(suffixes)}")
        return OutputPaths(_absolute(out), None)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{option} {out}: is a file, but many inputs need a folder")
    refuse_inputs_inside(option, out, arguments)
    folders = [str(_absolute(folder_of(argument))) for argument in arguments]
    return OutputPaths(_absolute(out), Path(os.path.commonpath(folders)))


def refuse_inputs_inside(option: str, out: Path, arguments: Sequence[str]) -> None:
    """Check that no input is the folder `out` or below it; parameters as of `choose_output_paths`.

    Raises
    ------
    OutputError
        An input is there.
    """
    for argument in arguments:
        path = folder_of(argument) if is_pattern(argument) else Path(argument)
        if real_path(path).is_relative_to(real_path(out)):
            raise OutputError(f"{option} {out}: contains the input {argument}; name another folder")


def _absolute(path: Path) -> Path:
    # Path.absolute keeps "..", Path.resolve follows links out of the folder.
    return Path(os.path.abspath(path))  # noqa: PTH100
