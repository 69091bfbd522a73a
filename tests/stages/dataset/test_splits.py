"""Drawn splits: shares of each emotion, persons on one side, the same for the same seed."""

from collections import Counter

import pytest

from stages.dataset.splits import draw_missing
from stages.errors import UserError
from stages.parameters import Draw

EMOTIONS = ["calm"] * 100 + ["tense"] * 20
ALL = ["Training"] * 120


def counts(splits: list[str], emotions: list[str] = EMOTIONS) -> Counter:
    return Counter(zip(emotions, splits, strict=True))


def test_all_three_splits_have_their_share_of_each_emotion():
    drawn = draw_missing(ALL, EMOTIONS, None, Draw(validation=0.1, test=0.2))
    assert counts(drawn) == {
        ("calm", "Training"): 70,
        ("calm", "PublicTest"): 10,
        ("calm", "PrivateTest"): 20,
        ("tense", "Training"): 14,
        ("tense", "PublicTest"): 2,
        ("tense", "PrivateTest"): 4,
    }


def test_only_a_missing_split_is_drawn():
    splits = ["PrivateTest"] * 10 + ["Training"] * 80 + ["PrivateTest"] * 10 + ["Training"] * 20
    drawn = draw_missing(splits, EMOTIONS, None, Draw(validation=0.1))
    assert [new for old, new in zip(splits, drawn, strict=True) if old != "Training"] == [
        "PrivateTest"
    ] * 20
    assert counts(drawn)["calm", "PublicTest"] == 8
    complete = ["Training", "PublicTest", "PrivateTest"]
    assert draw_missing(complete, ["a"] * 3, None, Draw()) is complete


def test_the_seed_decides():
    first, again, other = (draw_missing(ALL, EMOTIONS, None, Draw(seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_nobody_stands_on_both_sides():
    persons = [f"person {index % 17}" for index in range(120)]
    drawn = draw_missing(ALL, EMOTIONS, persons, Draw())
    sides = {(person, split) for person, split in zip(persons, drawn, strict=True)}
    assert len(sides) == 17
    assert {emotion for emotion, split in counts(drawn) if split == "PrivateTest"} == {
        *("calm", "tense")
    }


def test_too_few_images_are_an_error_that_says_how_many_are_needed():
    with pytest.raises(
        UserError, match=r"tense: 2 images, but at least 3 are needed to draw 2 splits"
    ):
        draw_missing(["Training"] * 12, ["calm"] * 10 + ["tense"] * 2, None, Draw())
    with pytest.raises(UserError, match=r"3 persons, .* at least 7 are needed"):
        draw_missing(ALL, EMOTIONS, [str(index % 3) for index in range(120)], Draw())
    few = [name for name in ("calm", "tense") for _ in range(4)]
    with pytest.raises(UserError, match=r"no emotion has 7 images \(calm has 4\)"):
        draw_missing(["Training"] * 8, few, [str(index) for index in range(8)], Draw())
    with pytest.raises(UserError, match=r"tense: its images are of too few persons"):
        persons = [str(index) if index < 100 else "one" for index in range(120)]
        draw_missing(ALL, EMOTIONS, persons, Draw())
