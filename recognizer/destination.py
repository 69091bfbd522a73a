"""Where what is made of each input goes: one file for one input, a folder for many."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recognizer.errors import OutputError
from recognizer.inputs import folder_of, is_folder, is_pattern


@dataclass(frozen=True)
class Destination:
    """A file for the only input, or a folder with the same folders in it as the inputs have."""

    out: Path
    root: Path | None
    """The folder that all inputs lie in; None if `out` is a file."""

    def path(self, source: Path, suffixes: Sequence[str]) -> Path:
        """The file to write for an input.

        It keeps its name, or gets the first of `suffixes` behind it if it has none of them;
        so `a.mov` and `a.mp4` stay apart.
        """
        if self.root is None:
            return self.out
        place = self.out / _absolute(source).relative_to(self.root)
        if place.suffix.lower() in suffixes:
            return place
        return place.with_name(place.name + suffixes[0])


def choose_destination(
    option: str, out: Path, arguments: Sequence[str], suffixes: Sequence[str]
) -> Destination:
    """Decide between a file and a folder.

    Parameters
    ----------
    option : str
        The option that named `out`, for messages.
    out : Path
    arguments : sequence of str
        What the inputs are found by.
    suffixes : sequence of str
        What a file for one input may end in.

    Raises
    ------
    OutputError
        An input could be overwritten, many inputs would go to one file, or its suffix is
        another one.
    """
    one = len(arguments) == 1 and not is_pattern(arguments[0]) and not is_folder(arguments[0])
    if one and not out.is_dir():
        if out.resolve() == Path(arguments[0]).resolve():
            raise OutputError(f"{option} {out}: is the input itself; name another file")
        if out.suffix.lower() not in suffixes:
            raise OutputError(f"{option} {out}: expected a name that ends in {', '.join(suffixes)}")
        return Destination(_absolute(out), None)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{option} {out}: is a file, but many inputs need a folder")
    for argument in arguments:
        path = folder_of(argument) if is_pattern(argument) else Path(argument)
        if path.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"{option} {out}: holds the input {argument}; name another folder")
    folders = [str(_absolute(folder_of(argument))) for argument in arguments]
    return Destination(_absolute(out), Path(os.path.commonpath(folders)))


def _absolute(path: Path) -> Path:
    # Path.absolute keeps "..", Path.resolve follows links out of the folder.
    return Path(os.path.abspath(path))  # noqa: PTH100
