"""Computations of the page: tracking, cuts, sampling, interpolation between samples."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.detectors.base import Box, Square
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import Tracker
from tests.page_fixture import HAPPY, SURPRISE, scene

ROOT = Path(__file__).parents[3]
EMOTIONS = ["happy", "sad", "neutral"]


def walk(persons=5, frames=120, seed=0):
    """Frames (seconds, faces) of persons who move, cross, disappear and return."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 300, (persons, 2))
    seconds = 0.0
    for _ in range(frames):
        seconds = round(seconds + float(rng.choice([0.1, 0.2, 1.5], p=[0.7, 0.25, 0.05])), 3)
        places += rng.normal(0, 8, places.shape)
        seen = [place for place in places if rng.random() < 0.85]
        yield seconds, [face(x, y, rng.dirichlet(np.ones(3))) for x, y in seen]


def face(x, y, probabilities):
    by_emotion = dict(zip(EMOTIONS, map(float, probabilities), strict=True))
    return RecognizedFace(
        box=Box(x=round(float(x)), y=round(float(y)), width=80, height=100),
        confidence=0.9,
        emotion=max(by_emotion, key=by_emotion.get),
        probabilities=by_emotion,
        square=Square(x=0, y=0, side=1, angle=0),
    )


def plain(face):
    box = {side: getattr(face.box, side) for side in ("x", "y", "width", "height")}
    return {"box": box, "emotion": face.emotion, "probabilities": face.probabilities}


def test_persons_and_probabilities_are_those_of_the_command_line(page):
    frames = list(walk())
    tracker = Tracker()
    expected = [tracker.update(seconds, faces) for seconds, faces in frames]
    found = page.call(
        """
        const { Tracker } = await import("/static/tracking.js");
        const tracker = new Tracker();
        return args[0].map(([seconds, faces]) => tracker.update(seconds, faces));
        """,
        [[seconds, [plain(face) for face in faces]] for seconds, faces in frames],
    )
    persons = [[face.person for face in faces] for faces in expected]
    assert [[face["id"] for face in faces] for faces in found] == persons
    assert (
        max(map(max, filter(None, persons))) > 5
    )  # some tracks ended, and their persons got new numbers
    pairs = [
        (a, b) for x, y in zip(expected, found, strict=True) for a, b in zip(x, y, strict=True)
    ]
    for one, other in pairs:
        assert other["probabilities"] == pytest.approx(one.probabilities, abs=1e-3)


def test_a_cut_ends_all_tracks(page):
    here = plain(face(10, 10, (0.8, 0.1, 0.1)))
    there = plain(face(10, 10, (0.0, 0.9, 0.1)))
    before, after = page.call(
        """
        const { Tracker } = await import("/static/tracking.js");
        const tracker = new Tracker();
        const before = tracker.update(0, [args[0]]);
        tracker.cut();
        return [before, tracker.update(0.1, [args[1]])];
        """,
        here,
        there,
    )
    assert [before[0]["id"], after[0]["id"]] == [1, 2]
    assert after[0]["probabilities"] == there["probabilities"]  # no smoothing across the cut


# ---------------------------------------------------------------- cuts


def cuts(page, *images):
    """For each image but the first, whether the page detects a cut before it."""
    urls = [
        "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", image)[1]).decode()
        for image in images
    ]
    return page.call(
        """
        const { CutDetector } = await import("/static/cuts.js");
        const detector = new CutDetector();
        const found = [];
        for (const url of args[0]) {
            const image = new Image();
            image.src = url;
            await image.decode();
            found.push(detector.isCut(image));
        }
        return found.slice(1);
        """,
        urls,
    )


def test_a_new_scene_is_a_cut_and_motion_is_not(page):
    photo = cv2.imread(str(ROOT / "docs" / "astronaut.jpg"))
    pan = [photo[20 * step : 20 * step + 300, 25 * step : 25 * step + 400] for step in range(5)]
    assert cuts(page, *pan) == [False] * 4
    brighter = cv2.convertScaleAbs(pan[0], alpha=1, beta=15)
    assert cuts(page, pan[0], brighter) == [False]
    happy, surprise = scene((HAPPY, (40, 40), 160)), scene((SURPRISE, (40, 40), 160))
    assert cuts(page, happy, surprise) == [False]  # the expression changes
    assert cuts(page, pan[0], happy, happy, photo) == [True, False, True]


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize(
    ("duration", "milliseconds", "rate"),
    [
        (20, 100, 10),  # 20 s of analysis for 200 frames
        (60, 80, 10),
        (60, 150, 5),
        (60, 400, 2),
        (600, 2000, 1),  # at least one sample per second
        (10, 250, 10),  # a short video may take half a minute
    ],
)
def test_the_sampling_rate_keeps_the_analysis_within_the_duration(
    page, duration, milliseconds, rate
):
    times = page.call(
        """
        const { SamplingRate } = await import("/static/sampling.js");
        const [duration, milliseconds] = args;
        const sampling = new SamplingRate(duration);
        const times = [];
        for (let seconds = 0; seconds < duration; seconds = sampling.next(seconds)) {
            sampling.count(times.length * milliseconds);
            times.push(seconds);
        }
        return times;
        """,
        duration,
        milliseconds,
    )
    assert times[0] == 0 and times[-1] == pytest.approx(duration - 1 / rate)
    steps = np.diff(times)
    assert steps[:9] == pytest.approx(0.1)  # the first second measures the time per frame
    assert steps[12:] == pytest.approx(1 / rate)
    assert all(any(abs(time - second) < 1e-9 for time in times) for second in range(duration))


def test_faces_are_interpolated_between_samples(page):
    left, right = plain(face(0, 0, (0.8, 0.1, 0.1))), plain(face(40, 0, (0.2, 0.7, 0.1)))
    square = {"x": 0, "y": 0, "side": 1, "angle": 0}
    left, right = ({**one, "id": 1, "square": square} for one in (left, right))
    samples = [
        {"seconds": 0, "rate": 1, "cut": False, "faces": [left]},
        {"seconds": 1, "rate": 1, "cut": False, "faces": [right]},
        {"seconds": 2, "rate": 1, "cut": True, "faces": [{**left, "id": 2}]},
    ]
    found = page.call(
        """
        const { facesAt } = await import("/static/interpolation.js");
        return args[1].map((seconds) => facesAt(args[0], seconds));
        """,
        samples,
        [0, 0.25, 0.75, 1, 1.5, 2, 2.5, 3.5],
    )
    drawn = [[(one["id"], one["box"]["x"], one["emotion"]) for one in faces] for faces in found]
    assert drawn == [
        [(1, 0, "happy")],
        [(1, 10, "happy")],
        [(1, 30, "sad")],
        [(1, 40, "sad")],
        [],  # the exact time of the cut is unknown
        [(2, 0, "happy")],
        [(2, 0, "happy")],
        [],  # beyond the last sample
    ]
    for faces in found:
        for one in faces:
            assert one["emotion"] == max(one["probabilities"], key=one["probabilities"].get)
