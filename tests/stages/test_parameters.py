"""params/: every file loads; a mistake is answered in one line with its place and line."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import onnx
import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hostile_files import hostile_parameters
from stages.errors import UserError
from stages.parameters import (
    Distillation,
    Export,
    KaggleSource,
    Loss,
    Network,
    Optimizer,
    Parameters,
    Residual,
    SampleSource,
    Schedule,
    ViewDistillation,
    checked,
    load_parameters,
)

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params/sample.yaml").read_text()


def section_of(document: dict, place: str) -> tuple[dict, str]:
    """The section that has a key, and the key."""
    *way, last = place.split(".")
    for key in way:
        document = document[int(key) if isinstance(document, list) else key]
    return document, last


def changed(place: str, value) -> dict:
    """The sample's parameters with one key set; a key that is not there yet is added."""
    document = yaml.safe_load(TEXT)
    section, last = section_of(document, place)
    section[last] = value
    return document


def renamed(place: str, name: str) -> dict:
    """The sample's parameters with one key misspelled."""
    document = yaml.safe_load(TEXT)
    section, last = section_of(document, place)
    section[name] = section.pop(last)
    return document


def message(folder: Path, document) -> str:
    """The error message about a parameter file, without file and line."""
    path = folder / "sample.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    with pytest.raises(UserError) as caught:
        load_parameters("sample", folder)
    text = str(caught.value)
    assert "\n" not in text
    return re.sub(rf"^{re.escape(str(path))}:(\d+: | )", "", text)


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


def test_optional_keys_change_a_digest_only_where_they_differ_from_their_default():
    text = (ROOT / "params/own.yaml").read_text()
    folder = checked(Parameters, yaml.safe_load(text)).fetch
    assert folder.model_dump_json() == '{"source":"folder","path":"~/faces"}'
    changed = yaml.safe_load(text)
    changed["fetch"]["folder"] |= {
        "labels": {1: "happy", "other": None},
        "emotions": ["sad", "happy"],
        "draw": {"seed": 3},
    }
    folder = checked(Parameters, changed).fetch
    assert json.loads(folder.model_dump_json()) == {
        "source": "folder",
        "path": "~/faces",
        "labels": {"1": "happy", "other": None},
        "emotions": ["sad", "happy"],
        "draw": {"seed": 3},
    }
    assert folder.draw.test == 0.15


def test_an_absent_init_and_none_are_the_same_in_a_digest():
    document = yaml.safe_load(TEXT)
    none = checked(Parameters, document).model_dump_json()
    del document["train"]["init"]
    assert checked(Parameters, document).model_dump_json() == none
    assert '"init"' not in none


def test_initial_weights_replace_those_of_an_application(tmp_path):
    document = changed("train.init.name", "weights")
    document["train"]["network"]["name"] = "application"
    assert message(tmp_path, document).startswith(
        "train: train.init replaces the weights of train.network.application; set init.name to none"
    )
    document["train"]["network"]["application"] |= {"weights": None, "frozen_epochs": 0}
    init = checked(Parameters, document).train.init
    assert (init.source, init.sha256, init.learning_rate_scale) == ("ferplus", None, 0.1)


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small", "ferplus"])
def test_the_committed_models_have_the_digest_of_their_parameters(dataset):
    model = onnx.load(ROOT / f"models/{dataset}/model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    parameters = load_parameters(dataset, ROOT / "params")
    shaping = parameters.model_dump_json(exclude={"evaluate"})
    assert metadata["parameters_digest"] == hashlib.sha256(shaping.encode()).hexdigest()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("emotions", ["happy"], "expected 2 or more values, found 1"),
        ("emotions", ["happy", "sad", "happy"], "'happy' is listed twice"),
        ("emotions", ["happy", "a,b"], "string should match pattern"),
        ("labels", {"joy": "1"}, "string should match pattern"),
        ("draw", {"test": 0.6}, "input should be less than 0.5"),
        ("draw", {"person": "("}, "no regular expression"),
        (
            "faces",
            "detected",
            "expected 'cropped' or 'detect', found 'detected', did you mean 'detect'?",
        ),
    ],
)
def test_a_wrong_setting_of_a_folder(tmp_path, key, value, problem):
    document = yaml.safe_load((ROOT / "params/own.yaml").read_text())
    document["fetch"]["folder"][key] = value
    assert problem in message(tmp_path, document)


def test_what_was_read_cannot_be_changed():
    train = load_parameters("sample", ROOT / "params").train
    with pytest.raises(ValueError, match="frozen"):
        train.epochs = 3


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small", "fer2013-fast"])
@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("train.network.name", get_args(Network)[0]),
        ("train.optimizer.name", get_args(Optimizer)[0]),
        ("train.schedule.name", get_args(Schedule)[0]),
        ("train.loss.name", get_args(Loss)[0]),
        ("train.distillation.name", get_args(Distillation)[0]),
        ("export.precision", get_args(Export)[0]),
        ("balance.strategy", ("none", "oversample", "undersample", "augment")),
        ("train.class_weight", ("none", "balanced", "square_root", "effective_number")),
        ("train.precision", ("float32", "mixed_bfloat16", "fused_bfloat16")),
        ("fetch.source", ("kaggle", "file", "folder")),
    ],
)
def test_one_value_chooses_anything(tmp_path, dataset, place, names):
    if not isinstance(names, tuple):
        key = place.rpartition(".")[2]
        names = [n for kind in get_args(names) for n in get_args(kind.model_fields[key].annotation)]
        assert len(names) > 1
    if place == "fetch.source" and dataset == "sample":
        names = ("sample",)
    for name in names:
        document = yaml.safe_load((ROOT / f"params/{dataset}.yaml").read_text())
        section, last = section_of(document, place)
        section[last] = name
        (tmp_path / "changed.yaml").write_text(yaml.safe_dump(document))
        typed = load_parameters("changed", tmp_path)
        for key in place.split("."):
            typed = getattr(typed, key)
        assert typed == name


@pytest.mark.parametrize(
    "dataset", ["sample", "fer2013", "fer2013-small", "fer2013-fast", "ferplus"]
)
def test_set_param_changes_one_line_and_no_comment(tmp_path, dataset):
    path = tmp_path / "changed.yaml"
    text = (ROOT / f"params/{dataset}.yaml").read_text()
    path.write_text(text)
    apply_overrides(path, ["train.optimizer.name=adamax"])
    before, after = text.splitlines(), path.read_text().splitlines()
    different = [
        (a.split()[:2], b.split()[:2])
        for a, b in zip(before, after, strict=True)
        if a.rstrip() != b.rstrip()
    ]
    assert different == [(["name:", "sgd"], ["name:", "adamax"])]
    assert text.count("#") == path.read_text().count("#") > 15


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("fetch.folder", {"path": "faces", "rows": None}),
        ("train.optimizer.rmsprop.rho", 0),
        # YAML 1.1 reads a number without a dot before its exponent as a word.
        ("train.optimizer.sgd.learning_rate", "1e-3"),
    ],
)
def test_other_values_are_accepted(tmp_path, place, value):
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump(changed(place, value)))
    load_parameters("sample", tmp_path)


def test_teachers_are_named_by_their_file():
    distillation = load_parameters("fer2013", ROOT / "params").train.distillation
    assert isinstance(distillation, ViewDistillation)
    assert distillation.teachers[1].file == Path("experiments/teachers/vgg_local_contrast.onnx")


@pytest.mark.parametrize("stage", ["train", "export", "evaluate", "balance", "validate", "fetch"])
def test_a_mistake_is_answered_before_anything_slow_is_imported(tmp_path, stage):
    (tmp_path / "params").mkdir()
    lines = TEXT.replace("  rmsprop: {learning_rate", "  rmsprop: {learning_rat").splitlines()
    (line,) = (n for n, text in enumerate(lines, start=1) if "learning_rat:" in text)
    (tmp_path / "params/sample.yaml").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"stages.{stage}", "sample"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: params/sample.yaml:{line}: train.optimizer.rmsprop.learning_rat: unknown key,"
        " did you mean 'learning_rate'?"
    )
    imported = set(re.findall(r"\| +(\w+)$", done.stderr, flags=re.MULTILINE))
    assert "pydantic" in imported
    slow = {"tensorflow", "keras", "pandas", "sklearn", "cv2", "matplotlib", "onnx", "numpy"}
    assert imported.isdisjoint(slow)


# ---------------------------------------------------------------- wrong keys


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("train", "trian"),
        ("train.epochs", "epoch"),
        ("train.selection.monitor", "montor"),
        ("train.resolutions.0.size", "siz"),
        ("train.network.residual.widths", "width"),
        ("train.optimizer.sgd.learning_rate", "learning_rat"),
        ("train.schedule.one_cycle.warmup", "warm_up"),
        ("fetch.sample.seed", "sede"),
        ("fetch.sample.rows.PublicTest", "Publictest"),
        ("validate.min_std", "min_stdev"),
        ("balance.augmentation.rotation", "rotations"),
        ("export.int8.calibration", "callibration"),
        ("evaluate.bootstrap", "bootstraps"),
        ("evaluate.targets", "target"),
    ],
)
def test_a_misspelled_key_is_answered_with_the_right_one(tmp_path, place, name):
    *way, right = place.split(".")
    wrong = ".".join([*way, name])
    expected = f"{wrong}: unknown key, did you mean '{right}'?"
    assert message(tmp_path, renamed(place, name)) == expected


@pytest.mark.parametrize(
    ("section", "wrong", "right"),
    [
        ("fetch.folder", "face", "faces"),
        ("fetch.folder", "lables", "labels"),
        ("fetch.folder.draw", "valdation", "validation"),
        ("train", "corected_weight", "corrected_weight"),
        ("train.init.weights", "sha265", "sha256"),
        ("train.init.weights", "keep_hed", "keep_head"),
    ],
)
def test_so_is_a_misspelled_key_that_may_be_absent(tmp_path, section, wrong, right):
    document = yaml.safe_load((ROOT / "params/own.yaml").read_text())
    document["fetch"]["folder"]["draw"] = {}
    place, last = section_of(document, f"{section}.{wrong}")
    place.pop(right, None)
    place[last] = 0.1
    expected = f"{section}.{wrong}: unknown key, did you mean '{right}'?"
    assert message(tmp_path, document) == expected


def test_a_key_that_resembles_none_is_only_unknown(tmp_path):
    assert message(tmp_path, changed("train.zzz", 1)) == "train.zzz: unknown key"


@pytest.mark.parametrize(
    "place",
    ["train", "train.seed", "train.schedule.name", "fetch.source", "fetch.sample.rows.Training"],
)
def test_a_missing_key_is_named(tmp_path, place):
    document = yaml.safe_load(TEXT)
    section, last = section_of(document, place)
    del section[last]
    assert message(tmp_path, document) == f"{place}: missing; every key must be given"


# ---------------------------------------------------------------- wrong values

APPLICATION = {
    "model": "MobileNetV3Small",
    "weights": "imagenet",
    "input_size": 96,
    "dropout": 0.2,
    "frozen_epochs": 2,
}


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (
            "train.network.name",
            "five_blocks",
            "expected one of 'five_block', 'five_layer', 'application', 'residual',"
            " 'symmetric_residual', 'symmetric_late_pooling', found 'five_blocks',"
            " did you mean 'five_block'?",
        ),
        (
            "train.network.application.model",
            "ResNet50v2",
            "not a network of keras.applications, did you mean 'ResNet50V2'?, found 'ResNet50v2'",
        ),
        (
            "train.network.application",
            APPLICATION | {"weights": None},
            "frozen_epochs needs pretrained weights; set it to 0",
        ),
        (
            "train.network.application.input_size",
            16,
            "input should be greater than or equal to 32, found 16",
        ),
        (
            "train.init.name",
            "weight",
            "expected one of 'weights', 'none', found 'weight', did you mean 'weights'?",
        ),
        ("train.init.weights.freeze", -1, "input should be greater than or equal to 0, found -1"),
        (
            "train.init.weights.learning_rate_scale",
            0,
            "input should be greater than 0, found 0",
        ),
        (
            "train.init.weights.sha256",
            "abc",
            "string should match pattern '^[0-9a-f]{12,64}$', found 'abc'",
        ),
        (
            "fetch.source",
            "kagle",
            "expected one of 'sample', 'kaggle', 'file', 'folder', 'ferplus', found 'kagle',"
            " did you mean 'kaggle'?",
        ),
        (
            "train.class_weight",
            "even",
            "expected 'none', 'balanced', 'square_root' or 'effective_number', found 'even'",
        ),
        ("train.epochs", 0, "input should be greater than or equal to 1, found 0"),
        ("train.batch_size", True, "expected a number, found True"),
        ("train.augmentation.flip", True, "expected a number, found True"),
        (
            "train.epochs",
            "many",
            "input should be a valid integer, unable to parse string as an integer, found 'many'",
        ),
        (
            "train.network.residual.dropout",
            1.5,
            "input should be less than or equal to 1, found 1.5",
        ),
        (
            "train.optimizer.sgd.learning_rate",
            float("nan"),
            "input should be a finite number, found nan",
        ),
        (
            "train.optimizer.sgd.learning_rate",
            float("inf"),
            "input should be a finite number, found inf",
        ),
        ("train.resolutions", [], "expected 1 or more values, found 0"),
        ("train", None, "expected a section of keys, found None"),
        ("train.network", "residual", "expected a section of keys, found 'residual'"),
        ("export.int8.calibration", 0, "input should be greater than or equal to 1, found 0"),
        (
            "export.precision",
            "int4",
            "expected one of 'float32', 'int8', found 'int4', did you mean 'int8'?",
        ),
        ("balance.target", 0, "input should be greater than 0, found 0"),
        ("evaluate.seed", 2**32, "input should be less than 4294967296, found 4294967296"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path, place, value, expected):
    text = message(tmp_path, changed(place, value))
    assert text == f"{place}: {expected}"


def test_shares_of_resolutions_that_do_not_add_up(tmp_path):
    document = changed("train.resolutions", [{"size": 32, "share": 0.5}])
    assert message(tmp_path, document) == ("train: the shares of resolutions must add up to 1")


@pytest.mark.parametrize(
    ("network", "halvings"),
    [
        ({"name": "residual", "residual": {"widths": [4] * 6, "blocks": 1, "dropout": 0}}, 5),
        ({"name": "five_block", "five_block": {"dropout": 0}}, 5),
    ],
)
def test_faces_too_small_for_the_network(tmp_path, network, halvings):
    document = changed("train.network", network)
    document["train"]["resolutions"] = [
        {"size": 16, "share": 0.5},
        {"size": 48, "share": 0.5},
    ]
    assert message(tmp_path, document) == (
        f"train: network {network['name']} halves the faces {halvings} times and needs"
        f" at least {2**halvings} pixels, but resolutions has size 16"
    )


# ---------------------------------------------------------------- wrong files


@pytest.mark.parametrize("text", ["", "- sample\n- fer2013\n", "sample", "3"])
def test_a_file_that_is_no_mapping(tmp_path, text):
    assert message(tmp_path, text).startswith("expected a section for each stage, found ")


def test_a_file_that_is_no_yaml(tmp_path):
    (tmp_path / "sample.yaml").write_text("train:\n  fetch: a: b\n")
    with pytest.raises(UserError) as caught:
        load_parameters("sample", tmp_path)
    expected = f"{tmp_path}/sample.yaml:2: not YAML: mapping values are not allowed here"
    assert str(caught.value) == expected


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "sample.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="not YAML"):
        load_parameters("sample", tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", sorted(hostile_parameters(TEXT)))
def test_a_hostile_file_is_one_line(tmp_path, attack):
    path = tmp_path / "sample.yaml"
    path.write_text(hostile_parameters(TEXT)[attack], encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as refusal:
        load_parameters("sample", tmp_path)
    assert str(refusal.value).startswith(f"{path}:")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_a_file_that_is_too_large_or_none(tmp_path):
    (tmp_path / "sample.yaml").write_text(TEXT + "#" * 200_000)
    with pytest.raises(UserError, match=r"cannot be read: the file has more than 200,000 bytes"):
        load_parameters("sample", tmp_path)
    for name in ("../sample", "", "x; y"):
        with pytest.raises(UserError, match="no name of a dataset"):
            load_parameters(name, tmp_path / "below")


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"sample\.yaml: not found; run from the repository's root"):
        load_parameters("sample", tmp_path)


def test_an_unknown_dataset():
    with pytest.raises(UserError) as caught:
        load_parameters("sampel", ROOT / "params")
    assert str(caught.value).endswith(
        "sampel.yaml: not found, did you mean 'sample'?; datasets with a file:"
        " fer2013, fer2013-fast, fer2013-small, ferplus, own, sample"
    )


def test_a_key_that_is_there_twice(tmp_path):
    text = TEXT.replace("  batch_size: 64\n", "  batch_size: 64\n  epochs: 9\n")
    assert re.match(r"train\.epochs: the key is also in line \d+;", message(tmp_path, text))


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
    place=st.sampled_from(list(places(yaml.safe_load(TEXT)))),
    value=WILD,
    key=st.none() | st.sampled_from(["name", "sgd", "residual", "sample", "x"]),
)
def test_whatever_stands_there_is_read_or_answered(tmp_path_factory, place, value, key):
    document = yaml.safe_load(TEXT)
    section = document
    for part in place[:-1]:
        section = section[part]
    if key is not None and isinstance(section, dict):
        section[key] = value
    else:
        section[place[-1]] = value
    path = tmp_path_factory.getbasetemp() / "wild.yaml"
    path.write_text(yaml.safe_dump(document))
    try:
        load_parameters("wild", path.parent)
    except UserError as error:
        assert "\n" not in str(error)
        assert re.match(rf"{re.escape(str(path))}:\d+: \w", str(error))


def test_a_weight_of_1_changes_no_digest(tmp_path):
    given = load_parameters("sample", ROOT / "params").train
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump(changed("train.corrected_weight", 1)))
    assert load_parameters("sample", tmp_path).train.model_dump_json() == given.model_dump_json()
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump(changed("train.corrected_weight", 3)))
    assert load_parameters("sample", tmp_path).train.model_dump_json() != given.model_dump_json()
    problem = message(tmp_path, changed("train.corrected_weight", 0))
    assert "train.corrected_weight: input should be greater than 0, found 0" in problem
