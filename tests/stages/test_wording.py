"""Numbers, lists and similar names in sentences."""

from stages.wording import first_of, joined, nearest, numbered


def test_one_is_singular():
    assert [numbered(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def test_lists():
    assert first_of(["a", "b", "c"]) == "a, b, c"
    assert first_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert [joined(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]


def test_the_nearest_name_is_a_likely_misspelling_in_its_own_case():
    assert nearest("CONTEMT", ["Contempt", "neutral"], 0.7) == "Contempt"
    assert nearest("contempt", ["angry", "neutral"], 0.7) is None
