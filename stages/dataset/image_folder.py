"""Images in folders that name their emotion, and their split if they have one."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recognizer.detectors.registry import build_detector
from recognizer.errors import ImageError
from recognizer.face_cropper import FaceCropper
from recognizer.image import decode
from recognizer.printable import printable
from recognizer.regular_file import read_regular_file
from stages.dataset import corrections
from stages.dataset.corrections import Crop
from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import CORRECTED, DRAWN, HEADER, NO_FACE, UNREADABLE, format_row
from stages.dataset.labels import PARAMETERS, SPELLINGS, Spellings
from stages.dataset.splits import draw_missing
from stages.errors import UserError
from stages.parameters import EMOTION_NAME, MAX_EMOTIONS, MIN_EMOTIONS, FolderSource
from stages.wording import first_of, joined, nearest, numbered

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".avif"),
)

SPLIT_OF_FOLDER = {
    "training": "Training",
    "train": "Training",
    "publictest": "PublicTest",
    "val": "PublicTest",
    "valid": "PublicTest",
    "validation": "PublicTest",
    "privatetest": "PrivateTest",
    "test": "PrivateTest",
    "testing": "PrivateTest",
}
"""`Usage` by the name of a split folder in lower case."""


@dataclass(frozen=True)
class Photo:
    """An image file."""

    path: Path
    split: str
    """Training where the folders name no split."""
    emotion: str
    crop: Crop | None = None
    """Its row in a table of crops, if it has one."""


def folder(source: FolderSource, root: Path) -> Iterator[bytes]:
    """Read images `SPLIT/EMOTION/NAME`, or `EMOTION/NAME`, in sorted order.

    A file name that starts with Training_, PublicTest_ or PrivateTest_ determines the split, as in
    Kaggle's msambare/fer2013, whose test folder contains both test splits. Otherwise the folder
    does: see SPLIT_OF_FOLDER. Splits without an image are drawn from Training. Images become grey
    squares of 48×48 pixels, as the recognizer makes them: cropped to the largest face where
    `faces` is `detect`, otherwise padded to a square. A crop of the recognizer's command line has
    the pixels that the network saw, stays in the split of the other faces of its photo, and is
    marked where a person has corrected its emotion: see corrections.py.

    An image that cannot be read, or has no face, becomes a row with its path and the reason in
    place of pixels, which validate quarantines.

    Raises
    ------
    UserError
        The folder is missing or has no image, a subfolder has a name that is no split or emotion,
        or a crop is in two folders or its photo in two splits.
    """
    if not root.is_dir():
        raise UserError(
            f"{root.absolute()}: no such folder; expected SPLIT/EMOTION/*.jpg or EMOTION/*.jpg "
            "below it; a relative path starts at the repository's root"
        )
    photos = _find(source, root)
    found = [photo.split for photo in photos]
    crops = [photo.crop for photo in photos]
    corrections.check_splits(crops, found)
    corrections.check_equal_files([photo.path for photo in photos], crops, found)
    splits = draw_missing(
        found,
        [photo.emotion for photo in photos],
        _groups(photos, root, source.draw.person),
        source.draw,
    )
    is_drawn = splits is not found
    photos = [replace(photo, split=split) for photo, split in zip(photos, splits, strict=True)]
    photos.sort(key=lambda photo: (SPLITS.index(photo.split), photo.path))
    drawn = set(splits) - set(found)
    logger.info("reading %s below %s", numbered(len(photos), "image"), root.absolute())
    counts = sorted(Counter(photo.emotion for photo in photos).items())
    logger.info("emotions: %s", ", ".join(f"{emotion} {count}" for emotion, count in counts))
    corrected = sum(photo.crop is not None and photo.crop.corrected for photo in photos)
    has_corrected = corrected > 0
    if has_corrected:
        verb = "has" if corrected == 1 else "have"
        logger.info("%d of them %s a predicted emotion that was corrected", corrected, verb)
    yield f"{HEADER}{f',{DRAWN}' * is_drawn}{f',{CORRECTED}' * has_corrected}".encode()
    for photo, pixels in _read_all(photos, root, source.faces):
        row = format_row(photo.emotion, pixels, photo.split)
        if is_drawn:
            row += f",{int(photo.split in drawn)}"
        if has_corrected:
            row += f",{int(photo.crop is not None and photo.crop.corrected)}"
        yield row.encode()


# ---------------------------------------------------------------- which images, which labels


def _find(source: FolderSource, root: Path) -> list[Photo]:
    """The images with their emotions and splits."""
    folders = _visible_folders(root)
    # An archive often has one folder around all others.
    if len(folders) == 1 and not _is_split(folders[0]) and _visible_folders(folders[0]):
        _report_ignored(
            root, folders, {path for path in _visible_files(root) if path.parent != root}
        )
        return _find(source, folders[0])
    spellings = Spellings(source, tuple(source.emotions) if source.emotions else None)
    tables = corrections.CropTables()
    photos, left_out, read = [], Counter[str](), set[Path]()
    emotion_folders = _emotion_folders(root, folders)
    names = {path.name for _, path in emotion_folders}
    _check_beside_splits(folders, names, spellings)
    for split, emotion_folder in emotion_folders:
        images = [path for path in emotion_folder.rglob("[!.]*") if _is_image(path)]
        read.update(images)
        emotion = spellings.emotion(emotion_folder.name, emotion_folder.absolute())
        if emotion is None:
            left_out[emotion_folder.name] += len(images)
            continue
        for path in images:
            prefix = path.name.partition("_")[0]
            crop = tables.find(path, emotion_folder)
            photos.append(Photo(path, prefix if prefix in SPLITS else split, emotion, crop))
    if not photos:
        raise _no_image(root, folders, left_out.total())
    spellings.report_labels(names, root)
    if left_out:
        spelled = ", ".join(f"{count} of {name}" for name, count in sorted(left_out.items()))
        logger.info("left out by `labels`: %s", spelled)
    corrections.check_copies([photo.path for photo in photos], [photo.crop for photo in photos])
    corrections.report_unsure([root, *folders])
    _report_ignored(root, folders, read)
    if source.emotions is None:
        _check_names(photos, source)
    return sorted(photos, key=lambda photo: (SPLITS.index(photo.split), photo.path))


def _emotion_folders(root: Path, folders: list[Path]) -> list[tuple[str, Path]]:
    """Folders named by an emotion, with their splits; Training where the folders name none."""
    have_images = any(_is_image(path) for one in folders for path in one.iterdir())
    if have_images and not any(map(_is_split, folders)):
        return [("Training", one) for one in folders]
    return [
        (_split(one), emotion_folder) for one in folders for emotion_folder in _visible_folders(one)
    ]


def _check_beside_splits(folders: list[Path], names: set[str], spellings: Spellings) -> None:
    """Check that no emotion's folder lies beside the splits, where nobody reads it.

    Raises
    ------
    UserError
        One does, with images in it.
    """
    splits = [one.name for one in folders if _is_split(one)]
    of_splits = {name.lower() for name in names}
    for one in folders if splits else ():
        is_emotion = one.name.lower() in of_splits or spellings.is_known(one.name)
        if is_emotion and not _is_split(one) and any(map(_is_image, one.iterdir())):
            raise UserError(
                f"{one.absolute()}: this emotion's folder lies beside the splits {joined(splits)}; "
                f"expected SPLIT/EMOTION, such as {splits[0]}/{one.name}; move its images into "
                "the splits, or the folder elsewhere"
            )


def _no_image(root: Path, folders: list[Path], left_out: int) -> UserError:
    """The error for a folder without an image to read."""
    if left_out:
        return UserError(
            f"{root.absolute()}: `labels` leaves out every emotion, {numbered(left_out, 'image')} "
            f"in all; correct it in {PARAMETERS}"
        )
    images = [path for path in _visible_files(root) if _is_image(path)]
    if images:
        return UserError(f"{root.absolute()}: {_outside(images, root, folders)}")
    return UserError(
        f"{root.absolute()}: no image; expected {', '.join(IMAGE_SUFFIXES)} files in "
        "SPLIT/EMOTION folders such as train/happy, or in EMOTION folders"
    )


def _report_ignored(root: Path, folders: list[Path], read: set[Path]) -> None:
    """Log which files are not among those read."""
    ignored = [path for path in _visible_files(root) if path not in read]
    images = [path for path in ignored if _is_image(path)]
    others = [path for path in ignored if not _is_image(path)]
    if images:
        logger.warning("%s: ignored: %s", root, _outside(images, root, folders))
    if others:
        kind = "is no image" if len(others) == 1 else "are no images"
        names = first_of(_relative(others, root))
        logger.warning(
            "%s: ignored %s that %s: %s", root, numbered(len(others), "file"), kind, names
        )


def _outside(images: list[Path], root: Path, folders: list[Path]) -> str:
    """The sentence on images that are in no folder of an emotion."""
    splits = [one.name for one in folders if _is_split(one)]
    own = images[0].relative_to(root).parts[0]
    split = f"{own if own in splits else splits[0]}/" if splits else ""
    is_direct = all(path.parent == root for path in images)
    place = "directly in this folder" if is_direct else "in no emotion's folder"
    verb = "lies" if len(images) == 1 else "lie"
    return (
        f"{numbered(len(images), 'image')} {verb} {place}: {first_of(_relative(images, root))}; "
        f"expected {'SPLIT/' if splits else ''}EMOTION/NAME: move each into the folder of its "
        f"emotion, such as {split}happy"
    )


def _visible_files(root: Path) -> list[Path]:
    """The files below a folder, without hidden ones and those of a tree of crops, in order."""
    return sorted(
        path
        for path in root.rglob("[!.]*")
        if path.is_file()
        and not corrections.is_part_of_tree(path)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def _relative(paths: list[Path], root: Path) -> list[str]:
    return [printable(path.relative_to(root).as_posix()) for path in paths]


def _visible_folders(path: Path) -> list[Path]:
    """The folders in a folder; a link to the folder that contains it is none."""
    hidden = (".", "_")  # .git, __MACOSX, and the folders of crop_tree.py
    real = path.resolve()
    around = {real, *real.parents}
    return sorted(
        child
        for child in path.iterdir()
        if child.is_dir() and child.resolve() not in around and not child.name.startswith(hidden)
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _is_split(path: Path) -> bool:
    return path.name.lower() in SPLIT_OF_FOLDER


def _split(path: Path) -> str:
    if _is_split(path):
        return SPLIT_OF_FOLDER[path.name.lower()]
    near = nearest(path.name, SPLIT_OF_FOLDER, 0.4)
    hint = f" (nearest: '{near}')" if near else ""
    raise UserError(
        f"{path.absolute()}: unknown split '{path.name}'{hint}; "
        f"expected one of {', '.join(SPLIT_OF_FOLDER)}, or EMOTION folders without splits; "
        "rename or move the folder"
    )


def _check_names(photos: list[Photo], source: FolderSource) -> None:
    """Check the emotions that the folders name.

    Raises
    ------
    UserError
        There are too few or too many, one is no name, or one is missing in a split.
    """
    names = sorted({photo.emotion for photo in photos})
    shown = ", ".join(names[: MAX_EMOTIONS + 1])
    if not MIN_EMOTIONS <= len(names) <= MAX_EMOTIONS:
        raise UserError(
            f"{source.path}: {numbered(len(names), 'emotion')}, {shown}; expected {MIN_EMOTIONS} …"
            f" {MAX_EMOTIONS}; check the folders' names, or join some with `labels`"
        )
    for name in names:
        if not re.fullmatch(EMOTION_NAME, name):
            raise UserError(
                f"{source.path}: the folder '{name}' is no name of an emotion: expected a letter, "
                "then letters, digits, spaces or hyphens; rename it, or add a line to "
                f"fetch.folder: `labels: {{{name}: NAME}}`"
            )
    for split in SPLITS:
        here = {photo.emotion for photo in photos if photo.split == split}
        missing = [name for name in names if name not in here]
        if here and missing:
            others = [name for name in here if name not in missing]
            near = nearest(missing[0], others, 0.6)
            hint = ""
            if near:
                # The name that is no emotion's is the misspelled one.
                wrong, right = sorted((near, missing[0]), key=SPELLINGS.__contains__)
                line = f"`labels: {{{wrong}: {right}}}`"
                hint = f", but of {near}: if they are the same, add {line}"
            raise UserError(
                f"{source.path}: {split} has no image of {', '.join(missing)}{hint}; every split "
                "needs each emotion: add images, or leave an emotion out with "
                f"`labels: {{{missing[0]}: null}}` in fetch.folder"
            )


def _groups(photos: list[Photo], root: Path, person: str | None) -> list[str] | None:
    """What each image shares its split with: the images of its person, else those of its photo."""
    if not person and not any(photo.crop for photo in photos):
        return None
    # A path is neither a person's name nor a digest.
    alone = [f"/{photo.path.relative_to(root).as_posix()}" for photo in photos]
    groups = _persons(photos, root, person) if person else alone
    return [
        photo.crop.photo if photo.crop and group == path else group
        for photo, group, path in zip(photos, groups, alone, strict=True)
    ]


def _persons(photos: list[Photo], root: Path, pattern: str) -> list[str]:
    """The person in each image, as the path tells; a path that tells none is a person alone."""
    persons, unknown = [], 0
    for photo in photos:
        path = photo.path.relative_to(root).as_posix()
        match = re.search(pattern, path)
        unknown += match is None
        # A path is no person's name, so it cannot be that of another.
        persons.append(match[1 if match.lastindex else 0] if match else f"/{path}")
    if unknown:
        example = next(p for p in persons if p.startswith("/"))
        message = f"`draw.person`: '{pattern}' finds nobody in {unknown} of {len(photos)} paths, "
        if unknown == len(photos):
            raise UserError(f"{message}such as {example[1:]}; correct it in {PARAMETERS}")
        logger.warning("%ssuch as %s", message, example[1:])
    return persons


# ---------------------------------------------------------------- pixels


def _read_all(photos: list[Photo], root: Path, faces: str) -> Iterator[tuple[Photo, str]]:
    """Yield each photo with its pixels field, or what stands in its place."""
    cropper = FaceCropper(build_detector("yunet" if faces == "detect" else "whole"))
    as_given = FaceCropper(build_detector("whole"))

    def read(photo: Photo) -> np.ndarray | str:
        if photo.crop is None:
            return _read_face(photo.path, cropper)
        seen = photo.crop.pixels
        return _read_face(seen if seen.is_file() else photo.path, as_given)

    reasons: Counter[str] = Counter()
    with ThreadPoolExecutor() as pool:
        crops = tqdm(
            pool.map(read, photos), total=len(photos), unit="image", desc=root.name, disable=None
        )
        for photo, face in zip(photos, crops, strict=True):
            if isinstance(face, np.ndarray):
                yield photo, " ".join(map(str, face.ravel().tolist()))
                continue
            reasons[face] += 1
            name = photo.path.relative_to(root).as_posix()
            yield (
                photo,
                face
                + "".join("_" if char in ',"' or not char.isprintable() else char for char in name),
            )
    for reason, count in reasons.items():
        kind = "without a face" if reason == NO_FACE else "unreadable"
        rows = "its row" if count == 1 else "their rows"
        logger.warning("%s: %s: validate will quarantine %s", kind, numbered(count, "image"), rows)


def _read_face(path: Path, cropper: FaceCropper) -> np.ndarray | str:
    """The grey face, uint8 [48, 48], or UNREADABLE or NO_FACE."""
    try:
        image = decode(read_regular_file(path))
    except (OSError, ImageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        logger.warning("%s: not readable as an image: %s", path, reason)
        return UNREADABLE
    faces = cropper.detect(image)
    return cropper.crop(image, cropper.square(faces[0])) if faces else NO_FACE
