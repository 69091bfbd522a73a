"""The photos and videos that arguments name: files, folders with everything below, patterns."""

import glob
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# fmt: off
PHOTO_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo", ".png", ".apng",
    ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".heic", ".heif", ".heics", ".heifs",
    ".hif", ".avif", ".avifs",
)
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg", ".mpe",
    ".m1v", ".m2v", ".mpv", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".3gp", ".3g2",
    ".flv", ".f4v", ".ogv", ".mxf", ".dv", ".rm", ".rmvb", ".mjpg", ".mjpeg",
)
CAMERA_RAW = {
    ".3fr", ".arw", ".braw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq",
    ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".r3d", ".raf", ".raw",
    ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
}
"""Most are TIFFs whose first image is a thumbnail, so they are not read as TIFFs."""
OTHER_PICTURES = {
    ".ai", ".cur", ".dcm", ".dds", ".eps", ".exr", ".fits", ".hdr", ".icns", ".ico", ".j2k",
    ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".kra", ".pam", ".pbm", ".pcx", ".pfm", ".pgm",
    ".pnm", ".ppm", ".psb", ".psd", ".qoi", ".svg", ".svgz", ".swf", ".tga", ".wdp", ".wmf",
    ".xbm", ".xcf", ".xpm",
}
# fmt: on

KNOWN_SUFFIXES = CAMERA_RAW | OTHER_PICTURES | {*PHOTO_SUFFIXES, *VIDEO_SUFFIXES}


def unsupported(path: Path) -> str | None:
    """Return why a picture with this suffix cannot be read; None for all other files."""
    suffix = path.suffix.lower()
    if suffix in CAMERA_RAW:
        return f"camera raw files ({suffix}) are not supported: export it as JPEG or HEIC"
    if suffix in OTHER_PICTURES:
        return (
            f"{suffix} files are not supported: convert it to JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF"
            " or HEIC"
        )
    return None


@dataclass(frozen=True)
class Input:
    """A file to process, or a path with the reason why it cannot be processed."""

    path: Path
    problem: str | None = None

    @property
    def is_video(self) -> bool:
        return not self.problem and self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(arguments: Sequence[str], ignored: Collection[Path] = ()) -> Iterator[Input]:
    """Yield the files, sorted inside each argument, so that every run has the same order.

    A named file is taken whatever its suffix. A folder gives the photos and videos in it and
    below it, recognized by their suffixes; a pattern gives those that match it. Neither gives
    hidden files, nor the files of linked folders below it. A picture in an unsupported format is an
    input with a problem. Only the names in the folders on the path to the current file are in
    memory, and the matches of one pattern.

    Parameters
    ----------
    arguments : sequence of str
        Paths of files or folders, or patterns as in the shell; `**` matches any depth.
    ignored : collection of Path
        Folders; the files in them are left out, unless an argument names them.
    """
    ignored_folders = frozenset(map(real_path, ignored))
    for argument in arguments:
        path = Path(argument)
        if argument.startswith(("http://", "https://")):
            yield Input(path, "is an address: download the file and give its path")
            continue
        if is_folder(argument):
            found, problem = _in_folder(path, ignored_folders), "contains no photo or video"
        elif is_pattern(argument):
            found, problem = _matches(argument, ignored_folders), "matches no photo or video"
        else:
            yield _input(path)
            continue
        empty = True
        for item in found:
            empty = False
            yield item
        if empty:
            yield Input(path, problem)


def is_folder(argument: str) -> bool:
    """Whether an argument is a folder that is accessible."""
    return os.path.isdir(argument)  # noqa: PTH112  Path.is_dir would raise


def is_pattern(argument: str) -> bool:
    """Whether an argument is a pattern and not the name of an existing file."""
    return glob.has_magic(argument) and not os.path.exists(argument)  # noqa: PTH110


def folder_of(argument: str) -> Path:
    """Return the absolute folder that contains all inputs of an argument."""
    path = Path(argument)
    if is_pattern(argument):
        while glob.has_magic(str(path)):
            path = path.parent
    elif not is_folder(argument):
        path = path.parent
    return real_path(path)


def real_path(path: str | Path) -> Path:
    """Return the absolute path without links. Unlike Path.resolve, it accepts looping links."""
    return Path(os.path.realpath(path))


def _matches(pattern: str, ignored: frozenset[Path]) -> Iterator[Input]:
    for name in sorted(set(_expanded(pattern))):
        if _is_known(name) and not is_folder(name) and ignored.isdisjoint(real_path(name).parents):
            yield _input(Path(name))


def _expanded(pattern: str) -> Iterator[str]:
    """Yield the paths that match, some of them twice.

    `**` enters no linked folder, as in the shell; that of `glob` does, and with two looping links
    it does not end.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207 (Path.glob accepts no absolute pattern)
        return
    place = parts.index("**")
    start, rest = parts[:place], parts[place + 1 :] or ("*",)
    for top in glob.iglob(str(Path(*start))) if start else ["."]:  # noqa: PTH207
        for folder, names, _ in os.walk(top):
            names[:] = [name for name in names if not name.startswith(".")]
            yield from _expanded(str(Path(glob.escape(folder), *rest)))


def _in_folder(folder: Path, ignored: frozenset[Path]) -> Iterator[Input]:
    try:
        if real_path(folder) in ignored:
            return
        with os.scandir(folder) as entries:
            names = sorted(filter(None, map(_name, entries)))
    except OSError as error:
        yield Input(folder, error.strerror)
        return
    for name in names:
        if name.endswith("/"):
            yield from _in_folder(folder / name, ignored)
        else:
            yield _input(folder / name)


def _name(entry: "os.DirEntry[str]") -> str | None:
    """Return the name of a folder, with a slash, or of a photo or video; else None."""
    if entry.name.startswith("."):
        return None
    if entry.is_dir(follow_symlinks=False):
        return entry.name + "/"
    # What is no file, as a broken link or a pipe, is reported when it is read.
    return entry.name if _is_known(entry.name) else None


def _input(path: Path) -> Input:
    return Input(path, unsupported(path))


def _is_known(name: str) -> bool:
    return Path(name).suffix.lower() in KNOWN_SUFFIXES
