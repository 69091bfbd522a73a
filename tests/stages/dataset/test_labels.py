"""Which emotion a spelling stands for, and the errors for those that stand for none."""

import pytest

from stages.dataset import fer2013, ferplus
from stages.dataset.labels import SPELLINGS, STANDARD, Spellings, declared_emotions, in_order
from stages.errors import UserError
from stages.parameters import FileSource, FolderSource

PUBLIC = {
    "AffectNet": "Neutral Happy Sad Surprise Fear Disgust Anger Contempt",
    "CK+": "anger contempt disgust fear happy sadness surprise",
    "RAF-DB": "Surprise Fear Disgust Happiness Sadness Anger Neutral",
    "KDEF": "afraid angry disgusted happy neutral sad surprised AF AN DI HA NE SA SU",
    "JAFFE": "AN DI FE HA NE SA SU",
    "FER+": "neutral happiness surprise sadness anger disgust fear contempt",
}


def folder(**settings) -> FolderSource:
    return FolderSource(source="folder", path="faces", **settings)


@pytest.mark.parametrize("dataset", PUBLIC)
def test_the_names_of_public_datasets_are_known(dataset):
    spellings = Spellings(folder(), ferplus.EMOTIONS)
    found = {spellings.emotion(name, "a folder") for name in PUBLIC[dataset].split()}
    without = {"CK+": {"neutral"}}.get(dataset, set())
    assert found | {"contempt"} == set(ferplus.EMOTIONS) - without


def test_no_spelling_stands_for_two_emotions():
    assert len(STANDARD) == len(SPELLINGS) + sum(map(len, SPELLINGS.values()))
    assert set(fer2013.EMOTIONS) < set(SPELLINGS)


def test_declared_names_come_before_the_standard_ones():
    spellings = Spellings(folder(), ("Joy", "Anger"))
    assert [spellings.emotion(name, "") for name in ("happy", "JOY", "angry")] == [
        *("Joy", "Joy", "Anger")
    ]


def test_two_declared_names_of_one_emotion_are_not_guessed():
    with pytest.raises(UserError, match="unknown emotion 'happiness'"):
        Spellings(folder(), ("joy", "happy")).emotion("happiness", "a folder")


def test_without_declared_names_the_spellings_become_names():
    spellings = Spellings(folder(), None)
    assert [spellings.emotion(name, "") for name in ("Sadness", "Bored", "bored")] == [
        *("sad", "bored", "bored")
    ]


def test_labels_rename_join_and_leave_out():
    labels = {"Fear": "negative", "anger": "negative", "happy": "positive", 7: None}
    spellings = Spellings(folder(labels=labels), ("negative", "positive"))
    names = ("fear", "ANGER", "happy", "7")
    assert [spellings.emotion(name, "") for name in names] == [
        *("negative", "negative", "positive", None)
    ]


def test_an_unknown_name_is_an_error_with_the_nearest_one_and_the_line_to_add():
    with pytest.raises(UserError) as raised:
        Spellings(folder(), fer2013.EMOTIONS).emotion("Suprised!", "faces/train/Suprised!")
    message = str(raised.value)
    assert message.startswith("faces/train/Suprised!: unknown emotion 'Suprised!'")
    assert "(nearest: 'surprise')" in message
    assert "add `labels: {'Suprised!': surprise}` to this dataset's source in its" in message
    assert "null" in message


def test_an_unknown_name_that_is_similar_to_none_is_to_be_left_out_or_declared():
    with pytest.raises(UserError) as raised:
        Spellings(folder(), fer2013.EMOTIONS).emotion("contempt", "faces/train/contempt")
    message = str(raised.value)
    assert "nearest" not in message
    assert "add `labels: {contempt: null}` to this dataset's source in its" in message
    assert message.endswith("or name all emotions, this one too, in its `emotions`")


def test_labels_that_stand_for_nothing_are_logged(caplog):
    labels = {"anger": "angry", "happy": "happy", "7": None}
    Spellings(folder(labels=labels), None).report_labels(["Happy", "contempt", "sad"], "faces")
    assert caplog.messages == [
        "faces: `labels` has the key 'anger', which is no label or folder here",
        "faces: `labels` has the key '7', which is no label or folder here",
    ]


def test_a_misspelled_key_of_labels_is_an_error_with_the_nearest_spelling():
    spellings = Spellings(folder(labels={"Contemt": None}), None)
    with pytest.raises(UserError, match=r"faces: .*key 'Contemt', .*; nearest: 'contempt'; corr"):
        spellings.report_labels(["Happy", "contempt"], "faces")


def test_a_key_that_is_an_emotion_counts_for_all_of_its_spellings(caplog):
    labels = {"happy": "positive", "angry": "negative", "sad": None, "rage": "negative"}
    spellings = Spellings(folder(labels=labels), None)
    found = ["joy", "HA", "Anger", "sadness", "rage", "fear"]
    names = [spellings.emotion(name, "place") for name in found]
    assert names == ["positive", "positive", "negative", None, "negative", "fear"]
    spellings.report_labels(found, "faces")
    assert caplog.messages == []


def test_a_key_that_is_another_spelling_counts_for_itself():
    spellings = Spellings(folder(labels={"joy": None}), None)
    assert spellings.emotion("happy", "place") == "happy"
    assert spellings.emotion("Joy", "place") is None


def test_a_declared_emotion_is_not_taken_over_by_a_label():
    spellings = Spellings(folder(labels={"happy": "smile"}), ("smile", "joy"))
    assert spellings.emotion("joy", "place") == "joy"
    assert spellings.emotion("happiness", "place") == "smile"


def test_a_new_emotion_that_is_a_misspelling_is_an_error():
    with pytest.raises(UserError, match=r"labels: 'hapy' is a new emotion; nearest: 'happy'; co"):
        Spellings(folder(labels={"smiling": "hapy"}), None)
    declared = Spellings(folder(labels={"smiling": "hapy"}), ("hapy", "sad"))
    assert declared.emotion("smiling", "place") == "hapy"


@pytest.mark.parametrize(
    ("labels", "found", "message"),
    [
        ({"sad": "blue"}, ["sad", "happy"], ["labels: 'blue' is a new emotion"]),
        (
            {"sad": "bad", "fear": "bad", "joy": "good"},
            ["sad", "fear", "joy"],
            ["labels: 'bad' and 'good' are new emotions"],
        ),
        ({"unhappy": "sad", "meh": "bored", "x": None}, ["Unhappy", "meh", "Bored", "x"], []),
    ],
)
def test_emotions_that_labels_create_are_logged(caplog, labels, found, message):
    caplog.set_level("INFO")
    Spellings(folder(labels=labels), None).report_labels(found, "faces")
    assert caplog.messages == message


def test_a_label_that_maps_to_no_emotion_is_an_error():
    with pytest.raises(UserError, match=r"labels: 'hapy' is none .*nearest: 'happy'"):
        Spellings(folder(labels={"joy": "hapy"}), fer2013.EMOTIONS)


def test_declared_emotions_of_each_kind_of_source():
    a_file = FileSource(source="file", path="a.csv", sha256=None, rows=None)
    assert declared_emotions(a_file) == fer2013.EMOTIONS
    assert declared_emotions(a_file.model_copy(update={"emotions": ["a", "b"]})) == ("a", "b")
    assert declared_emotions(folder()) is None


def test_names_without_a_declared_order():
    assert in_order(reversed(fer2013.EMOTIONS)) == fer2013.EMOTIONS
    assert in_order(["0", "6", "0"]) == fer2013.EMOTIONS
    assert in_order(["sad", "calm", "sad"]) == ("calm", "sad")
