"""Crops of the faces in photos, in a folder for each emotion: see recognizer/crop_tree.py."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from recognizer.atomic_file import write_atomically
from recognizer.crop_tree import NETWORK_FOLDER, UNSURE_FOLDER
from recognizer.cropping import crop
from recognizer.face_cropper import FaceCropper
from recognizer.image import MAX_PIXELS, Image, decode
from recognizer.recognizer import RecognizedFace

LONGEST_STEM = 40
"""Characters of a photo's name in the names of its crops; file systems allow 255 bytes."""

DIGITS = 12
"""Hexadecimal digits of a photo's SHA-256 in the names of its crops."""


@dataclass(frozen=True)
class PhotoCrops:
    """What the crops of a photo are called."""

    sha256: str
    """Of the photo's bytes, in hexadecimal digits."""
    files: Sequence[str]
    """File names, one for each face of the photo."""


@dataclass(frozen=True)
class CropTree:
    """Writes the crops of photos into the folder `out`."""

    out: Path

    def write(
        self,
        data: bytes,
        photo: Path,
        image: Image,
        faces: Sequence[RecognizedFace],
        max_pixels: int = MAX_PIXELS,
    ) -> PhotoCrops:
        """Write the faces of a photo, but for those that an earlier run has written.

        A face that is in `_48x48` stays as it is, because a person may have moved or deleted its
        other file. The names follow from the bytes of the photo and the boxes of its faces.

        Parameters
        ----------
        data : bytes
            The photo's file.
        photo : Path
        image : Image
            The decoded photo.
        faces : sequence of RecognizedFace
        max_pixels : int
            As for `decode`.

        Raises
        ------
        ImageError
            The photo cannot be decoded at its full size.
        OutputError
            A file cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        files = [_file_name(photo, digest, face) for face in faces]
        network = self.out / NETWORK_FOLDER
        new = [
            (name, face)
            for name, face in zip(files, faces, strict=True)
            if not (network / name).exists()
        ]
        whole = decode(data, max_pixels, long_side=None) if new and image.scale > 1 else image
        for name, face in new:
            side = max(1, round(face.square.side))
            own_size = crop(whole.pixels, face.square, side)
            write_atomically(self.out / folder_name(face.emotion) / name, _png(own_size))
            # The last file of a face: an interrupted run writes the face again.
            write_atomically(network / name, _png(FaceCropper.crop(image, face.square)))
        return PhotoCrops(digest, files)


def folder_name(emotion: str | None) -> str:
    """The folder of an emotion. What cannot be a folder's name, as `../a`, is escaped."""
    if emotion is None:
        return UNSURE_FOLDER
    if re.fullmatch(r"[^\W\d_][\w -]*", emotion):
        return emotion
    # `quote` leaves dots and a leading underscore.
    return "".join(f"%{ord(c):02X}" if c in "._" else c for c in quote(emotion, safe=" "))


def _file_name(photo: Path, digest: str, face: RecognizedFace) -> str:
    stem = re.sub(r"[^\w-]+", "_", photo.stem)[:LONGEST_STEM]
    box = face.box
    return f"{stem}-{digest[:DIGITS]}-{box.x}-{box.y}-{box.width}.png"


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()
