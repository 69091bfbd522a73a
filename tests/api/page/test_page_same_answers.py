"""Predictions on the visitor's device are those of the server, and need no request.

The crops are the server's. Rarely, one differs: where rounding to the grid of
recognizer/detectors/yunet.py is a tie.
"""

import base64
import csv
from collections import defaultdict
from math import hypot
from pathlib import Path

import cv2
import numpy as np
import pytest

from api.on_device import MODELS
from recognizer.detectors.base import Box
from recognizer.video.tracking import overlap
from stages.dataset.sample_faces import render_face
from tests.page_fixture import needs_runtime, requests

ROOT = Path(__file__).parents[3]
PHOTOS = ROOT.parent / "shared/photos"

TOLERANCE = 0.05
"""Of a probability: WebAssembly rounds otherwise, and the eight-bit layers amplify it."""
USUAL = 0.005
"""Of a probability, for nine faces of ten."""

pytestmark = needs_runtime


@pytest.fixture(scope="module")
def site(serve):
    """A client of a live server with the models that the page offers on the device."""
    paths = [str(ROOT / f"models/{name}/model.onnx") for name in MODELS]
    with serve(MODEL_PATH=paths[0], EXTRA_MODEL_PATHS=",".join(paths[1:])) as client:
        yield client


def recognized_on_device(page, model, files):
    """The faces in image files, as the page's modules recognize them with a model."""
    return page.call(
        """
        const { recognizeOnDevice } = await import("/static/on_device.js");
        const answers = [];
        for (const file of args[1]) {
            const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
            answers.push(await recognizeOnDevice(new Blob([bytes]), args[0], "yunet", false));
        }
        return answers.map(({ faces }) => faces);
        """,
        model,
        [base64.b64encode(file).decode() for file in files],
    )


def recognized_by_the_server(site, model, files):
    """The faces in image files, as `POST /predict` returns them."""
    parameters = {"version": model["version"]}
    answers = [site.post("/predict", params=parameters, content=file) for file in files]
    return [answer.raise_for_status().json()["faces"] for answer in answers]


def compare(page, site, name, files):
    """Predict in both places and compare face by face; returns what the device found."""
    (model,) = (
        one for one in site.get("/device/choices.json").json()["models"] if one["name"] == name
    )
    page.call("await (await import('/static/on_device.js')).prepare(args[0])", model)
    loaded = requests(site)
    found = recognized_on_device(page, model, files)
    assert requests(site) == loaded
    expected = recognized_by_the_server(site, model, files)
    differences = [
        difference(*pair) for photo in zip(found, expected, strict=True) for pair in pairs(*photo)
    ]
    print(f"{name}: median {np.median(differences):.6f}, largest {max(differences):.6f}")
    assert max(differences) < TOLERANCE
    assert np.quantile(differences, 0.9) < USUAL
    return found


def pairs(found, expected):
    """Each face of the server, and the nearest one of the device."""
    assert len(found) == len(expected)

    def distance(face, other):
        return hypot(*(face["square"][axis] - other["square"][axis] for axis in "xy"))

    nearest = [min(found, key=lambda face: distance(face, one)) for one in expected]
    assert len({id(face) for face in nearest}) == len(expected)
    return zip(nearest, expected, strict=True)


def difference(face, expected):
    """Check that a face is the server's; returns the largest difference of a probability."""
    assert face["box"] == pytest.approx(expected["box"], abs=1)
    assert face["square"] == pytest.approx(expected["square"], abs=0.5)
    assert face["confidence"] == pytest.approx(expected["confidence"], abs=0.001)
    assert face["probabilities"].keys() == expected["probabilities"].keys()
    largest = max(
        abs(face["probabilities"][label] - probability)
        for label, probability in expected["probabilities"].items()
    )
    second, first = sorted(expected["probabilities"].values())[-2:]
    assert face["emotion"] == expected["emotion"] or first - second < 2 * largest
    return largest


def portraits():
    """Rendered faces of all emotions, and a photo: upright and turned."""
    for emotion in range(7):
        face = render_face(emotion, np.random.default_rng(emotion), size=200)
        image = np.full((300, 420), 120, np.uint8)
        image[40:240, 30 + 20 * emotion : 230 + 20 * emotion] = face
        yield cv2.imencode(".png", image)[1].tobytes()
    yield (ROOT / "docs/astronaut.jpg").read_bytes()
    photo = cv2.imread(str(ROOT / "docs/astronaut.jpg"))
    yield cv2.imencode(".png", np.rot90(photo))[1].tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_servers(page, site, name):
    files = list(portraits())
    assert all(compare(page, site, name, files))


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos for development are not here")
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_servers_on_photos(page, site, name):
    page.browser.set_script_timeout(600)
    paths = sorted(PHOTOS.glob("*.jpg"))
    found = compare(page, site, name, [path.read_bytes() for path in paths])
    true = defaultdict(list)
    with (PHOTOS / "faces.csv").open(newline="") as file:
        for photo, *sides in list(csv.reader(file))[1:]:
            true[photo].append(Box(*map(int, sides)))
    for path, faces in zip(paths, found, strict=True):
        boxes = [Box(**face["box"]) for face in faces]
        assert len(boxes) == len(true[path.name])
        assert all(any(overlap(box, one) >= 0.4 for box in boxes) for one in true[path.name])
