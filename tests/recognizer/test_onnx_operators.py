"""The operators of model files: those of our exports are allowed, loops are not."""

import contextlib
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from benchmarks.abuse_inputs import looping_model
from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from recognizer.onnx_operators import DamagedError, check_operators

ROOT = Path(__file__).parents[2]
MODELS = sorted((ROOT / "models").glob("*/model.onnx"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_the_released_models_are_allowed(path):
    check_operators(path.read_bytes())


def test_a_loop_that_never_ends_is_refused_when_the_file_is_loaded(tmp_path):
    path = looping_model(tmp_path / "model.onnx")
    with pytest.raises(ModelError) as refusal:
        Classifier(path)
    assert str(refusal.value) == (
        f"{path}: not a model of this project: its operator 'Loop' is not allowed"
    )


def test_the_command_line_refuses_it_in_one_line(tmp_path):
    path = looping_model(tmp_path / "model.onnx")
    command = [sys.executable, "-m", "recognizer", "--model", path, "docs/astronaut.jpg"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "its operator 'Loop' is not allowed" in done.stderr
    assert "raceback" not in done.stderr


def test_the_format_of_onnxruntime_is_refused(tmp_path, model_path):
    options = onnxruntime.SessionOptions()
    path = tmp_path / "model.ort"
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="not an ONNX model, or a damaged one"):
        Classifier(path)


def model(*nodes, **more):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(list(nodes), "graph", [value], [value])
    return helper.make_model(graph, **more)


def branch():
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "branch", [], [value])


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (helper.make_node("Scan", ["x"], ["y"], body=branch(), num_scan_inputs=1), "Scan"),
        (helper.make_node("If", ["x"], ["y"], then_branch=branch(), else_branch=branch()), "If"),
        (helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft"), "com.microsoft.Relu"),
        (helper.make_node("New", ["x"], ["y"]), "New"),
        (helper.make_node("", ["x"], ["y"]), ""),
    ],
)
def test_other_operators_are_refused(node, name):
    allowed = helper.make_node("Relu", ["x"], ["y"])
    content = model(allowed, node, allowed).SerializeToString()
    with pytest.raises(ValueError, match=f"its operator '{name}' is not allowed"):
        check_operators(content)


def test_functions_are_refused():
    body = [helper.make_node("Relu", ["x"], ["y"])]
    function = helper.make_function("f", "F", ["x"], ["y"], body, [helper.make_opsetid("", 15)])
    content = model(helper.make_node("Relu", ["x"], ["y"]), functions=[function])
    with pytest.raises(ValueError, match="it has functions"):
        check_operators(content.SerializeToString())


def test_a_repeated_field_hides_no_operator():
    # Protocol Buffers merge repeated messages: both graphs are one.
    one, other = (
        model(helper.make_node(name, ["x"], ["y"])).SerializeToString() for name in ("Relu", "Loop")
    )
    assert len(onnx.load_from_string(one + other).graph.node) == 2
    with pytest.raises(ValueError, match="'Loop'"):
        check_operators(one + other)


def test_damaged_files_raise_no_other_error(model_path):
    whole = model_path.read_bytes()
    for end in range(0, len(whole), max(1, len(whole) // 200)):
        with contextlib.suppress(DamagedError):
            check_operators(whole[:end])
    for content in (b"\xff" * 30, b"\x0b", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"):
        with pytest.raises(DamagedError):
            check_operators(content)
