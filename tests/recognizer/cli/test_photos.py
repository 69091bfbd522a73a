"""`python -m recognizer` with photos as phones and cameras write them."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from recognizer.cli.main import main
from recognizer.image import decode
from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[3]
PHONE_FOLDER = ROOT.parent / "shared/inputs/phone_folder"

register_heif_opener()  # to write the photos

SCENE = Image.fromarray(portrait()[..., ::-1])
PHOTOS = {
    "IMG_1.JPG": "JPEG",
    "IMG_2.jfif": "JPEG",
    "IMG_3.HEIC": "HEIF",
    "IMG_4.hif": "HEIF",
    "IMG_5.avif": "AVIF",
    "IMG_6.gif": "GIF",
    "IMG_7.webp": "WEBP",
    # Renamed, as by some messengers.
    "IMG_8.jpg": "HEIF",
}


def exif(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name, format_ in PHOTOS.items():
        SCENE.save(tmp_path / "in" / name, format_)
    return tmp_path


@pytest.fixture
def recognize(tmp_path, model_path, monkeypatch, capsys):
    """Run the command in the temporary folder; return exit status, results and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        arguments = ["--model", model_path, "--json", *arguments]
        monkeypatch.setattr(sys, "argv", ["recognize-emotions", *map(str, arguments)])
        status = main()
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return call


def corners(box):
    return np.array([box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]])


def test_all_photos_of_a_phone_are_read(folder, recognize):
    status, answers, err = recognize("in")
    assert (status, err) == (0, "")
    assert [Path(answer["path"]).name for answer in answers] == list(PHOTOS)
    expected = corners(answers[0]["faces"][0]["box"])
    for answer in answers:
        (face,) = answer["faces"]
        assert np.abs(corners(face["box"]) - expected).max() < 20, answer["path"]


@pytest.mark.skipif(not PHONE_FOLDER.exists(), reason=f"{PHONE_FOLDER} is not there")
def test_the_shared_folder_of_a_phone_gives_four_results(recognize):
    status, answers, err = recognize(PHONE_FOLDER)
    assert (status, err) == (0, "")
    assert [len(answer["faces"]) for answer in answers] == [1, 1, 1, 1]


def test_an_unreadable_file_is_a_row_with_its_error(tmp_path, recognize):
    names = {
        "a.cr2": "camera raw files (.cr2) are not supported: export it as JPEG or HEIC",
        "b.heic": "not an image of a known format: expected JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF"
        " or HEIC",
        "c.psd": ".psd files are not supported: convert it to JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF"
        " or HEIC",
    }
    for name in names:
        (tmp_path / name).write_bytes(b"no photo")
    (tmp_path / "notes.txt").touch()
    status, answers, _ = recognize(".")
    assert status == 1
    assert answers == [{"path": name, "error": error} for name, error in names.items()]
    assert recognize(".", "--csv", "out.csv")[0] == 1
    with (tmp_path / "out.csv").open(newline="") as file:
        assert {row["path"]: row["error"] for row in csv.DictReader(file)} == names


def test_108_megapixels_are_read_and_the_limit_is_an_option(tmp_path, recognize):
    large = cv2.resize(portrait(), (12_000, 9_000), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(tmp_path / "a.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(tmp_path / "b.jpg"), portrait())
    status, (answer, small), _ = recognize("a.jpg", "b.jpg")
    assert status == 0
    assert answer["image"] == {"width": 12_000, "height": 9_000}
    boxes = [corners(a["faces"][0]["box"]) for a in (answer, small)]
    assert np.abs(boxes[0] / 18.75 - boxes[1]).max() < 20
    status, (answer,), err = recognize("a.jpg", "--max-pixels", "107999999")
    assert status == 1
    assert answer["error"] == (
        "the image has too many pixels: 12000×9000 need 108,000,000, at most 107,999,999 are"
        " accepted; --max-pixels allows more"
    )
    assert err == f"error: a.jpg: {answer['error']}\n"
    assert recognize("a.jpg", "--max-pixels", "108000000")[0] == 0


# ---------------------------------------------------------------- annotated copies


def test_copies_have_a_suffix_that_can_be_written(folder, recognize):
    assert recognize("in", "--annotate", "out")[0] == 0
    copies = sorted(path.name for path in (folder / "out").iterdir())
    assert copies == [
        "IMG_1.JPG",
        "IMG_2.jfif.jpg",
        "IMG_3.HEIC.jpg",
        "IMG_4.hif.jpg",
        "IMG_5.avif.jpg",
        "IMG_6.gif.jpg",
        "IMG_7.webp",
        "IMG_8.jpg",
    ]
    for name in copies:
        assert decode((folder / "out" / name).read_bytes()).pixels.shape == (480, 640, 3)


# The JPEG is large enough to be decoded at a reduced size, but for its copy.
@pytest.mark.parametrize(("format_", "size"), [("JPEG", (3300, 2475)), ("HEIF", (640, 480))])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_a_copy_is_upright_and_as_large_as_the_photo(
    tmp_path, recognize, orientation, format_, size
):
    """The copy has no EXIF, so that no viewer rotates it again."""
    back = {3: 3, 5: 5, 6: 8, 8: 6}[orientation]
    operation = {
        3: Image.Transpose.ROTATE_180,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        8: Image.Transpose.ROTATE_90,
    }[back]
    scene = SCENE.resize(size)
    scene.transpose(operation).save(tmp_path / "a.photo", format_, exif=exif(orientation))
    status, (answer,), _ = recognize("a.photo", "--annotate", "b.jpg")
    assert status == 0
    assert answer["image"] == dict(zip(("width", "height"), size, strict=True))
    data = (tmp_path / "b.jpg").read_bytes()
    assert not Image.open(io.BytesIO(data)).getexif()
    picture = decode(data, long_side=None).pixels
    assert picture.shape == (*size[::-1], 3)
    # The border of the box is drawn at the box of the result; inside it, the photo is unchanged.
    box = answer["faces"][0]["box"]
    inside = np.s_[
        box["y"] + box["height"] // 4 : box["y"] + 3 * box["height"] // 4,
        box["x"] + box["width"] // 4 : box["x"] + 3 * box["width"] // 4,
    ]
    original = np.asarray(scene, int)[..., ::-1]
    assert np.abs(picture[inside] - original[inside]).mean() < 5
    edge = picture[box["y"] + box["height"] // 2, box["x"] - 8 : box["x"] + 9].astype(int)
    assert (edge.max(axis=1) - edge.min(axis=1)).max() > 40


def test_a_full_disk_keeps_the_old_copy(tmp_path, model_path):
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", portrait())[1].tobytes())
    (tmp_path / "b.png").write_bytes(b"the old one")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999));"
        "from recognizer.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run(
        # With -B, the limit leaves no cut-off .pyc file of an installed package.
        [
            sys.executable,
            "-B",
            "-c",
            limited,
            "--model",
            model_path,
            "a.png",
            "--annotate",
            "b.png",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/b.png: cannot be written: File too large\n"
    assert (tmp_path / "b.png").read_bytes() == b"the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_copy_too_large_for_its_format_is_an_error_of_one_sentence(tmp_path, recognize):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((2, 17_000, 3), np.uint8))
    status, _, err = recognize("a.png", "--annotate", "b.webp")
    assert status == 1
    assert err == (
        f"error: {tmp_path}/b.webp: OpenCV cannot write 17000×2 pixels as .webp; name a file that"
        " ends in .png\n"
    )
    assert not (tmp_path / "b.webp").exists()
