"""params.yaml: both blocks load, and every mistake is answered in one line that names its place."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import UserError
from stages.parameters import KaggleSource, Residual, SampleSource, load_parameters

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()


def changed(place: str, value) -> dict:
    """params.yaml with one key set; a key that is not there yet is added."""
    document = yaml.safe_load(TEXT)
    section = document["sample"]
    *way, last = place.split(".")
    for key in way:
        section = section[int(key) if isinstance(section, list) else key]
    section[last] = value
    return document


def renamed(place: str, name: str) -> dict:
    """params.yaml with one key misspelled."""
    document = yaml.safe_load(TEXT)
    section = document["sample"]
    *way, last = place.split(".")
    for key in way:
        section = section[int(key) if isinstance(section, list) else key]
    section[name] = section.pop(last)
    return document


def message(folder: Path, document, dataset: str = "sample") -> str:
    """The error message about a params.yaml."""
    path = folder / "params.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    with pytest.raises(UserError) as caught:
        load_parameters(dataset, path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


# ---------------------------------------------------------------- right


def test_both_datasets_load():
    sample = load_parameters("sample", ROOT / "params")
    assert isinstance(sample.fetch, SampleSource)
    assert isinstance(sample.train.network, Residual)
    assert sample.validate_.min_std == 1.0
    fer2013 = load_parameters("fer2013", ROOT / "params")
    assert isinstance(fer2013.fetch, KaggleSource)
    assert fer2013.fetch.rows.model_dump() == {
        "Training": 28709,
        "PublicTest": 3589,
        "PrivateTest": 3589,
    }


@pytest.mark.parametrize("name", ["fer2013-small", "fer2013-fast"])
def test_the_others_of_the_same_faces_differ_from_training_on(name):
    release, other = (load_parameters(n, ROOT / "params") for n in ("fer2013", name))
    own = {"train", "export", "evaluate"}
    assert other.model_dump(exclude=own) == release.model_dump(exclude=own)
    assert other.train != release.train


def test_what_was_read_cannot_be_changed():
    train = load_parameters("sample", ROOT / "params").train
    with pytest.raises(ValueError, match="frozen"):
        train.epochs = 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("fetch", {"source": "file", "path": "faces.csv", "sha256": None, "rows": None}),
        ("fetch", {"source": "folder", "path": "faces", "rows": None}),
        ("fetch", {"source": "kaggle", "handle": "msambare/fer2013/versions/1", "rows": None}),
        ("train.network", {"name": "five_block", "dropout": 0.2}),
        ("train.network", {"name": "five_layer", "dropout": 0}),
        ("train.network", {"name": "resnet50", "weights": None, "dropout": 0.1}),
        ("train.precision", "fused_bfloat16"),
        ("train.optimizer", {"name": "rmsprop", "learning_rate": 1, "rho": 0.9, "weight_decay": 0}),
        ("train.schedule", {"name": "inverse_time", "decay": 1e-5}),
        ("train.loss", {"name": "focal", "gamma": 2, "label_smoothing": 0}),
        # YAML 1.1 reads a number without a dot before its exponent as a word.
        ("train.optimizer.learning_rate", "1e-3"),
    ],
)
def test_every_choice_is_accepted(tmp_path, place, value):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed(place, value)))
    load_parameters("sample", path)


# ---------------------------------------------------------------- wrong keys


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("train", "trian"),
        ("train.epochs", "epoch"),
        ("train.selection.monitor", "montor"),
        ("train.resolutions.0.size", "siz"),
        ("train.network.widths", "width"),
        ("train.optimizer.learning_rate", "learning_rat"),
        ("train.schedule.warmup", "warm_up"),
        ("fetch.seed", "sede"),
        ("fetch.rows.PublicTest", "Publictest"),
        ("validate.min_std", "min_stdev"),
        ("balance.augmentation.rotation", "rotations"),
        ("export.calibration", "callibration"),
        ("evaluate.bootstrap", "bootstraps"),
        ("evaluate.targets", "target"),
    ],
)
def test_a_misspelled_key_is_answered_with_the_right_one(tmp_path, place, name):
    *way, right = place.split(".")
    wrong = ".".join(["sample", *way, name])
    expected = f"{wrong}: unknown key, did you mean '{right}'?"
    assert message(tmp_path, renamed(place, name)) == expected


def test_a_key_that_resembles_none_is_only_unknown(tmp_path):
    assert message(tmp_path, changed("train.zzz", 1)) == "sample.train.zzz: unknown key"


@pytest.mark.parametrize(
    "place", ["train", "train.seed", "train.schedule.name", "fetch.source", "fetch.rows.Training"]
)
def test_a_missing_key_is_named(tmp_path, place):
    document = yaml.safe_load(TEXT)
    section = document["sample"]
    *way, last = place.split(".")
    for key in way:
        section = section[key]
    del section[last]
    assert message(tmp_path, document) == f"sample.{place}: missing; every key must be given"


# ---------------------------------------------------------------- wrong values


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (
            "train.network.name",
            "ResNet50",
            "expected one of 'five_block', 'five_layer', 'resnet50', 'residual',"
            " 'symmetric_residual', 'symmetric_late_pooling', found 'ResNet50'",
        ),
        (
            "fetch.source",
            "kagle",
            "expected one of 'sample', 'kaggle', 'file', 'folder', found 'kagle'",
        ),
        (
            "train.class_weight",
            "even",
            "input should be 'none', 'balanced', 'square_root' or 'effective_number', found 'even'",
        ),
        ("train.epochs", 0, "input should be greater than or equal to 1, found 0"),
        (
            "train.epochs",
            "many",
            "input should be a valid integer, unable to parse string as an integer, found 'many'",
        ),
        ("train.network.dropout", 1.5, "input should be less than or equal to 1, found 1.5"),
        (
            "train.optimizer.learning_rate",
            float("nan"),
            "input should be a finite number, found nan",
        ),
        (
            "train.optimizer.learning_rate",
            float("inf"),
            "input should be a finite number, found inf",
        ),
        ("train.resolutions", [], "list should have at least 1 item after validation, not 0"),
        ("train", None, "expected a section of keys, found None"),
        ("train.network", "residual", "expected a section of keys, found 'residual'"),
        ("export.calibration", 0, "input should be greater than or equal to 1, found 0"),
        ("export.precision", "int4", "expected one of 'float32', 'int8', found 'int4'"),
        ("balance.target", 0, "input should be greater than 0, found 0"),
        ("evaluate.seed", 2**32, "input should be less than 4294967296, found 4294967296"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path, place, value, expected):
    text = message(tmp_path, changed(place, value))
    assert text == f"sample.{place}: {expected}"


def test_shares_of_resolutions_that_do_not_add_up(tmp_path):
    document = changed("train.resolutions", [{"size": 32, "share": 0.5}])
    assert message(tmp_path, document) == (
        "sample.train: the shares of resolutions must add up to 1"
    )


@pytest.mark.parametrize(
    ("network", "halvings"),
    [
        ({"name": "residual", "widths": [4] * 6, "blocks": 1, "dropout": 0}, 5),
        ({"name": "five_block", "dropout": 0}, 5),
    ],
)
def test_faces_too_small_for_the_network(tmp_path, network, halvings):
    document = changed("train.network", network)
    document["sample"]["train"]["resolutions"] = [
        {"size": 16, "share": 0.5},
        {"size": 48, "share": 0.5},
    ]
    assert message(tmp_path, document) == (
        f"sample.train: network {network['name']} halves the faces {halvings} times and needs"
        f" at least {2**halvings} pixels, but resolutions has size 16"
    )


# ---------------------------------------------------------------- wrong files


@pytest.mark.parametrize("text", ["", "- sample\n- fer2013\n", "sample", "3"])
def test_a_file_that_is_no_mapping(tmp_path, text):
    assert message(tmp_path, text).startswith("expected one block per dataset, found ")


def test_a_file_that_is_no_yaml(tmp_path):
    text = message(tmp_path, "sample:\n  fetch: a: b\n")
    assert text.startswith("not YAML: mapping values are not allowed here")
    assert "line 2" in text


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="not YAML"):
        load_parameters("sample", path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml: not found; run from the repository's root"):
        load_parameters("sample", tmp_path / "params.yaml")


def test_an_unknown_dataset(tmp_path):
    assert message(tmp_path, TEXT, "sampel") == (
        "no dataset 'sampel', did you mean 'sample'?; its datasets: sample, fer2013,"
        " fer2013-small, fer2013-fast"
    )
    assert (
        message(tmp_path, {"datasets": [], 2013: {}}, "x") == "no dataset 'x'; its datasets: 2013"
    )
    assert message(tmp_path, {"datasets": []}, "datasets") == (
        "no dataset 'datasets'; its datasets: none"
    )


@pytest.mark.parametrize("block", [None, 5, "text", [1, 2]])
def test_a_block_that_is_no_section(tmp_path, block):
    assert message(tmp_path, {"sample": block}).startswith("sample: expected a section of keys")


def places(section, way=()):
    """Every key of a block, the sections themselves among them."""
    for key, value in section.items() if isinstance(section, dict) else enumerate(section):
        yield (*way, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*way, key))


WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["name", "source", "size", "sgd", "x"]), st.integers()),
)


@given(
    place=st.sampled_from(list(places(yaml.safe_load(TEXT)["sample"]))),
    value=WILD,
    key=st.none() | st.sampled_from(["name", "sgd", "residual", "sample", "x"]),
)
def test_whatever_stands_there_is_read_or_answered(tmp_path_factory, place, value, key):
    document = yaml.safe_load(TEXT)
    section = document["sample"]
    for part in place[:-1]:
        section = section[part]
    if key is not None and isinstance(section, dict):
        section[key] = value
    else:
        section[place[-1]] = value
    path = tmp_path_factory.getbasetemp() / "wild.yaml"
    path.write_text(yaml.safe_dump(document))
    try:
        load_parameters("sample", path)
    except UserError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(f"{path}: sample")
