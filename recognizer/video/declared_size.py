"""The size of a video file by its own headers; a smaller file was cut short."""

from pathlib import Path
from typing import BinaryIO

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
EBML, SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")

RIFF_SLACK = 16
"""Bytes by which some programs overstate the size of an AVI."""


def missing_bytes(path: Path) -> int:
    """Return the number of bytes missing at the end; 0 for a whole file or an unknown size.

    FFmpeg reads a cut file to its last byte and reports no error. MP4, QuickTime, Matroska, WebM,
    AVI and WMV state their size; MPEG streams and live recordings do not.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == EBML:
            declared = _matroska(file)
        elif head[:4] == b"RIFF":
            declared = _riff(file, size) - RIFF_SLACK
        elif ASF_HEADER.startswith(head):
            declared = _asf(file)
        else:
            declared = _boxes(file, size)
    return max(0, declared - size)


def _boxes(file: BinaryIO, size: int) -> int:
    """Return the end of the first incomplete top-level box with media or an index, else 0."""
    start = 0
    while start < size:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8:
            break  # 0: up to the end of the file; 2 … 7: not a box
        start += length
        # Any bytes may follow the last box; they are not a box with a length.
        if start > size and kind in (b"mdat", b"moov", b"moof"):
            return start
    return 0


def _riff(file: BinaryIO, size: int) -> int:
    """Return the end of the last RIFF chunk; a long AVI has several."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        end += 8 + int.from_bytes(head[4:], "little")
    return end


def _matroska(file: BinaryIO) -> int:
    """Return the end of the segment, which follows the EBML header; 0 for an unknown length."""
    file.seek(4)
    length = _vint(file)
    if length is None:
        return 0
    file.seek(length, 1)
    if file.read(4) != SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """Read an EBML number; the leading zeros of its first byte count the bytes that follow."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + file.read(extra), "big")
    unknown = (1 << 7 * (extra + 1)) - 1
    return None if value == unknown else value


def _asf(file: BinaryIO) -> int:
    """Return the size in the file properties object; 0 for a broadcast, whose size is unknown."""
    file.seek(0)
    head = file.read(65536)
    start = head.find(ASF_FILE_PROPERTIES)
    properties = head[start : start + 92]
    if start < 0 or len(properties) < 92:
        return 0
    length = int.from_bytes(properties[40:48], "little")
    flags = int.from_bytes(properties[88:], "little")
    return 0 if flags & 1 else length
