"""The ONNX files obey the standard: ONNX's checker, its reference evaluator, and OpenVINO."""

from pathlib import Path

import cv2
import keras
import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx.numpy_helper import to_array
from onnx.reference import ReferenceEvaluator

from recognizer.detectors.yunet import MODEL as YUNET
from stages import parameters
from stages.dataset.sample_faces import render_face
from stages.onnx_graph.calibration import calibrated
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.logits import predict_logits
from stages.onnx_graph.standard import OPSET, standardized
from stages.training.networks import build_network

ROOT = Path(__file__).parents[3]
RELEASED = sorted(ROOT.glob("models/*/model.onnx"))
FACES = np.stack([render_face(emotion, np.random.default_rng(emotion)) for emotion in range(7)])

TOLERANCE = 0.05
"""Of a probability. Where a value lies between two steps of eight bits, the order of a float32 sum
decides to which one it is rounded. OpenVINO also merges scales of eight-bit layers and so rounds in
other places."""


def onnxruntime_outputs(model: onnx.ModelProto, values: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {model.graph.input[0].name: values})


def openvino_outputs(path: Path, values: np.ndarray) -> list[np.ndarray]:
    # Where a processor has bfloat16, OpenVINO would compute with it.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    found = compiled([values])
    return [found[output] for output in compiled.outputs]


def check(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.parent.name)
def test_a_released_file_has_equal_outputs_in_three_runtimes(path):
    model = onnx.load(path)
    check(model)
    assert standardized(model) == model
    (expected,) = onnxruntime_outputs(model, FACES)
    assert np.ptp(expected, axis=0).max() > 0.5  # the faces differ
    (reference,) = ReferenceEvaluator(model).run(None, {"faces": FACES})
    np.testing.assert_allclose(reference, expected, rtol=0, atol=TOLERANCE)
    (other,) = openvino_outputs(path, FACES)
    np.testing.assert_allclose(other, expected, rtol=0, atol=TOLERANCE)


def test_the_detector_has_equal_outputs_in_three_runtimes():
    model = onnx.load(YUNET)
    check(model)
    face = cv2.cvtColor(render_face(3, np.random.default_rng(0), size=128), cv2.COLOR_GRAY2BGR)
    pixels = face.astype(np.float32).transpose(2, 0, 1)[None]
    expected = onnxruntime_outputs(model, pixels)
    assert max(values.max() for values in expected[:3]) > 0.5  # a face was found
    for found in (
        ReferenceEvaluator(model).run(None, {"input": pixels}),
        openvino_outputs(YUNET, pixels),
    ):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [40, 41, 32])
def test_an_export_resizes_to_a_fixed_size(size):
    """48 · float32(40 / 48) is below 40, and 48 · float32(41 / 48) is above 41."""
    settings = parameters.SymmetricLatePooling(
        name="symmetric_late_pooling", widths=[4, 8, 8], blocks=1, dropout=0.2
    )
    keras.utils.set_random_seed(0)
    converted = convert(served_model(build_network(settings, size, 7), size))
    ones, zeros = np.ones(7, np.float32), np.zeros(7, np.float32)
    model = calibrated(converted, ones, zeros, {"labels": "[]"})
    check(model)
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    constants = {constant.name: to_array(constant) for constant in model.graph.initializer}
    assert constants[resize.input[3]].tolist() == [size, size]
    assert np.array_equal(predict_logits(model, FACES), predict_logits(converted, FACES))
    (reference,) = ReferenceEvaluator(model).run(None, {"faces": FACES})
    np.testing.assert_allclose(reference, onnxruntime_outputs(model, FACES)[0], rtol=0, atol=1e-5)


def test_other_operators_are_converted_too():
    """ReduceMean has its axes as an attribute before version 18, and as an input since."""
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node("ReduceMean", ["x"], ["y"], "mean", axes=[1], keepdims=0)],
        "means",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N"])],
    )
    opsets = [make.make_opsetid("", 15), make.make_opsetid("com.microsoft", 1)]
    model = standardized(make.make_model(graph, opset_imports=opsets))
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    values = np.float32([[1, 2, 6], [0, 1, -1]])
    assert ReferenceEvaluator(model).run(None, {"x": values})[0].tolist() == [3, 0]
