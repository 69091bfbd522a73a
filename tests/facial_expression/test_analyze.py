"""`analyze` with every kind of source and option, with the released models."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import facial_expression as fe
from recognizer.classifier import Classifier
from recognizer.detectors.registry import build_detector
from recognizer.image import decode
from recognizer.recognizer import Recognizer
from recognizer.released_models import find_model
from recognizer.video.reader import Video as VideoFile
from tests.facial_expression.conftest import PHOTO, ROOT
from tests.portrait_fixture import portrait
from tests.recognizer.video_fixture import write_video

PIXELS = cv2.imread(str(PHOTO))


def test_a_photo_has_the_faces_that_the_recognizer_finds():
    photo = fe.analyze(str(PHOTO))
    model = find_model("fer2013")
    recognizer = Recognizer(Classifier(model), build_detector("yunet"))
    expected = recognizer.recognize(decode(PHOTO.read_bytes()))
    assert [vars(face) | {"person": None} for face in expected] == [vars(face) for face in photo]
    assert (photo.path, photo.width, photo.height) == (str(PHOTO), 512, 512)
    assert photo[0].emotion == "happy"
    assert photo[0].probability == photo[0].probabilities["happy"]
    assert photo.model.dataset == "fer2013"
    assert photo.model.version == Classifier(model).version
    assert photo.model.labels == tuple(photo[0].probabilities)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (PHOTO.read_bytes(), {}),
        (bytearray(PHOTO.read_bytes()), {}),
        (PIXELS, {}),
        (PIXELS[..., ::-1], {"channels": "rgb"}),
        (np.dstack([PIXELS, np.zeros((512, 512), np.uint8)]), {}),
        (Image.fromarray(PIXELS[..., ::-1]), {}),
        (Image.fromarray(PIXELS[..., ::-1]).convert("RGBA"), {}),
    ],
    ids=["bytes", "bytearray", "BGR", "RGB", "BGRA", "PIL", "PIL RGBA"],
)
def test_the_same_photo_in_another_form_has_the_same_faces(source, options):
    photo = fe.analyze(source, **options)
    assert photo.faces == fe.analyze(PHOTO).faces
    assert photo.path is None


def test_grey_pixels_may_have_two_or_three_dimensions():
    grey = portrait()[..., 0]
    expected = fe.analyze(portrait()).faces
    assert fe.analyze(grey).faces == fe.analyze(grey[..., None]).faces == expected
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    assert sixteen.mode == "I;16"
    assert fe.analyze(sixteen).faces == expected


def test_the_order_of_the_colours_matters():
    assert fe.analyze(PIXELS, channels="rgb").faces != fe.analyze(PIXELS).faces


def test_a_pil_image_is_turned_upright_as_its_file_is():
    file, tags = io.BytesIO(), Image.Exif()
    tags[274] = 6  # to be rotated by 90° clockwise
    lying = np.ascontiguousarray(np.rot90(PIXELS)[..., ::-1])
    Image.fromarray(lying).save(file, "PNG", exif=tags)
    opened = fe.analyze(Image.open(io.BytesIO(file.getvalue())))
    assert opened.faces == fe.analyze(file.getvalue()).faces == fe.analyze(PIXELS).faces


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_a_list_gives_a_result_for_each_item(kind):
    results = fe.analyze(kind([PHOTO, PIXELS, PHOTO.read_bytes()]))
    assert [photo.faces for photo in results] == [fe.analyze(PHOTO).faces] * 3
    assert fe.analyze(kind([])) == []


def test_a_model_is_chosen_by_name_or_path():
    small = fe.analyze(PHOTO, model="fer2013-small")
    assert small.model.version == Classifier(find_model("fer2013-small")).version
    assert small == fe.analyze(PHOTO, model=find_model("fer2013-small"))
    assert small.faces != fe.analyze(PHOTO).faces


def test_a_model_file_that_changes_is_loaded_again(tmp_path):
    path = tmp_path / "model.onnx"
    for name in ("fer2013-small", "sample"):
        shutil.copyfile(find_model(name), path)
        assert fe.analyze(portrait(), model=path).model.dataset == name


def test_options_reach_the_recognizer():
    assert len(fe.analyze(PHOTO, min_confidence=0.99)) == 0
    (whole,) = fe.analyze(PHOTO, faces="whole")
    assert (whole.box.width, whole.box.height) == (512, 512)
    unsure = fe.analyze(PHOTO, min_probability=0.99)
    assert unsure[0].emotion is None
    assert "unsure" in str(unsure)
    turned = cv2.warpAffine(PIXELS, cv2.getRotationMatrix2D((226, 119), 30, 1), (512, 512))
    assert abs(fe.analyze(turned)[0].square.angle) > 0.2
    assert fe.analyze(turned, align=False)[0].square.angle == 0
    with pytest.raises(fe.TooManyPixelsError, match=r"astronaut.jpg: the image has too many"):
        fe.analyze(PHOTO, max_pixels=1000)


def test_many_threads_get_the_answers_of_one():
    photos = [PIXELS, portrait(), portrait(seed=1), portrait(place=(0, 0))] * 4
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(fe.analyze, photos))
    assert [photo.faces for photo in parallel] == [photo.faces for photo in fe.analyze(photos)]


# ---------------------------------------------------------------- videos


def test_a_video_has_frames_with_persons(video):
    found = fe.analyze(video)
    assert (found.path, found.width, found.height) == (str(video), 320, 240)
    assert [frame.index for frame in found] == list(range(30))
    assert found[-1].seconds == pytest.approx(29 / 25, abs=0.002)
    assert [face.person for face in found[0].faces] == [1, 2]
    assert found.problem is None


def test_the_emotion_of_unsure_faces_of_a_video_is_none(video):
    frames = fe.analyze(video, min_probability=1)
    assert {face.emotion for frame in frames for face in frame.faces} == {None}


def test_every_nth_frame_of_a_video(video):
    found = fe.analyze(video, every=10, smooth=0)
    assert [frame.index for frame in found] == [0, 10, 20]
    with VideoFile(video) as file:
        images = [frame.image for frame in file.frames(10)]
    alone = [[face.probabilities for face in fe.analyze(image)] for image in images]
    assert [[face.probabilities for face in frame.faces] for frame in found] == alone


def test_a_video_that_is_cut_short_gives_its_frames_and_a_warning(tmp_path):
    whole = write_video(tmp_path / "whole.avi", 30).read_bytes()
    short = tmp_path / "short.avi"
    short.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.warns(UserWarning, match=r"short\.avi: cut short: .* bytes are missing") as caught:
        found = fe.analyze(short, every=5)
    assert 0 < len(found) < 6
    assert str(caught[0].message).endswith(found.problem)
    assert caught[0].filename == __file__


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("absent.jpg", FileNotFoundError, "absent.jpg"),
        ("absent.mp4", fe.VideoError, "absent.mp4: No such file"),
        ("https://localhost/a.jpg", fe.ImageError, "is an address: download the file"),
        (str(ROOT / "docs"), fe.ImageError, "is a folder: give a list"),
        ("photo.cr2", fe.ImageError, "camera raw files"),
        (str(ROOT / "LICENSE"), fe.ImageError, "LICENSE: not an image of a known format"),
        (b"", fe.ImageError, "empty"),
        (3, TypeError, "expected a path, bytes, .* got int"),
        ({"a": 1}, TypeError, "got dict"),
        ([PIXELS, None], TypeError, "item 1 of the list: expected .* got NoneType"),
        ([b"", PIXELS], fe.ImageError, "item 0 of the list: the image is empty"),
        ([PIXELS, str(ROOT / "LICENSE")], fe.ImageError, "LICENSE: not an image"),
        (PIXELS / 255, ValueError, r"uint8 .*; got float64 \[512, 512, 3\]"),
        (PIXELS[None], ValueError, r"got uint8 \[1, 512, 512, 3\]"),
        (PIXELS[:0], ValueError, r"got uint8 \[0, 512, 3\]"),
    ],
)
def test_a_wrong_source_is_a_clear_error(source, error, message):
    with pytest.raises(error, match=message) as caught:
        fe.analyze(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "fer2014"}, fe.ModelError, "fer2014: there is no such model: expected fer2013,"),
        ({"model": ROOT / "LICENSE"}, fe.ModelError, "not an ONNX model"),
        ({"faces": "retina"}, fe.DetectorError, "expected yunet, whole"),
        ({"channels": "hsv"}, ValueError, "channels: expected 'bgr' or 'rgb', got 'hsv'"),
        ({"min_confidence": 2}, ValueError, "min_confidence: expected 0 … 1, got 2"),
        ({"min_probability": 2}, ValueError, "min_probability: expected 0 … 1, got 2"),
        ({"min_probability": "high"}, ValueError, "min_probability: expected 0 … 1, got 'high'"),
        ({"every": 0}, ValueError, "every: expected 1 or more, got 0"),
        ({"smooth": -1}, ValueError, "smooth: expected seconds, 0 or more, got -1"),
    ],
)
def test_a_wrong_option_is_a_clear_error(options, error, message):
    with pytest.raises(error, match=message):
        fe.analyze(PIXELS, **options)


def test_a_truncated_pil_image_is_an_image_error():
    cut = Image.open(io.BytesIO(PHOTO.read_bytes()[:20_000]))
    with pytest.raises(fe.ImageError, match="the PIL image cannot be decoded"):
        fe.analyze(cut)


def test_a_path_works_after_the_current_folder_changes(video, tmp_path, monkeypatch):
    shutil.copyfile(PHOTO, tmp_path / "photo.jpg")
    shutil.copyfile(video, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    photo, clip = fe.analyze(["photo.jpg", Path("clip.mp4")], every=20)
    monkeypatch.chdir(ROOT)
    assert (photo.path, clip.path) == ("photo.jpg", "clip.mp4")
    assert (photo.draw().size, clip.draw().size) == ((1024, 1024), (640, 480))
