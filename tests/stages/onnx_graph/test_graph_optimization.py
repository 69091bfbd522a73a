"""The graph rewrites: the function stays, the patterns disappear, other graphs stay."""

import cv2
import numpy as np
import onnx
import pytest
from onnx.numpy_helper import from_array, to_array

from stages import parameters
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.graph_optimization import optimized
from stages.onnx_graph.logits import predict_logits
from stages.onnx_graph.quantization import quantize
from stages.training.networks import build_network

NOISE = np.random.default_rng(0).integers(0, 256, (20, 48, 48), dtype=np.uint8)
FACES = np.stack([cv2.resize(face[: n + 3, : n + 3], (48, 48)) for n, face in enumerate(NOISE)])


def network(name: str, size: int):
    """A network whose batch normalisations have scales and means of their own."""
    kind = parameters.Residual if name == "residual" else parameters.SymmetricLatePooling
    settings = kind(name=name, widths=[4, 8, 8], blocks=1, dropout=0.2)
    built = build_network(settings, size, 7)
    rng = np.random.default_rng(0)
    built.set_weights(
        [
            weight + rng.uniform(0.1, 0.5, weight.shape).astype(np.float32)
            if weight.ndim == 1
            else 2 * weight
            for weight in built.get_weights()
        ]
    )
    return built


def operations(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("size", [40, 48])
@pytest.mark.parametrize("name", ["residual", "symmetric_late_pooling"])
def test_normalisation_is_one_operation_and_pooling_follows_relu_but_for_the_first(name, size):
    built = network(name, size)
    model = convert(served_model(built, size))
    kinds = operations(model)
    assert kinds.count("InstanceNormalization") == 1
    assert not {"ReduceMean", "Sqrt", "Reciprocal", "Mul"} & set(kinds)
    pools = [index for index, kind in enumerate(kinds) if kind == "MaxPool"]
    assert len(pools) == 2
    first = kinds.index("Conv")
    for index in pools:
        assert kinds[index + 1 if index == first + 1 else index - 1] == "Relu"
    expected = served_model(built, size).predict(FACES, verbose=0)
    assert np.abs(expected - expected[0]).max() > 0.1
    assert predict_logits(model, FACES) == pytest.approx(expected, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("name", ["residual", "symmetric_late_pooling"])
def test_after_the_second_convolution_all_is_of_eight_bits(name):
    model = quantize(convert(served_model(network(name, 40), 40)), FACES)
    nodes = {output: node for node in model.graph.node for output in node.output}
    kinds = [node.op_type for node in model.graph.node]
    second = [place for place, kind in enumerate(kinds) if kind == "Conv"][1]
    for place, node in enumerate(model.graph.node):
        if node.op_type in ("Conv", "MaxPool", "Add"):
            is_quantized = nodes[node.input[0]].op_type == "DequantizeLinear"
            assert is_quantized == (place >= second)


def pooled(scale: list[float]) -> onnx.ModelProto:
    """Convolution, pooling, scale, shift and ReLU of two channels, and their mean as logits."""
    rng = np.random.default_rng(0)
    constants = {
        "kernel": rng.normal(0, 1, (2, 1, 3, 3)),
        "scale": np.reshape(scale, (1, 2, 1, 1)),
        "shift": np.reshape([20.0, 600.0], (1, 2, 1, 1)),
        "axis": np.int64([1]),
        "axes": np.int64([2, 3]),
    }
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Cast", ["faces"], ["floats"], to=onnx.TensorProto.FLOAT),
            node("Unsqueeze", ["floats", "axis"], ["one channel"]),
            node("Conv", ["one channel", "kernel"], ["convolved"]),
            node("MaxPool", ["convolved"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Mul", ["pooled", "scale"], ["scaled"]),
            node("Add", ["scaled", "shift"], ["shifted"]),
            node("Relu", ["shifted"], ["cut off"]),
            node("GlobalAveragePool", ["cut off"], ["mean"]),
            node("Squeeze", ["mean", "axes"], ["logits"]),
        ],
        "tiny",
        [onnx.helper.make_tensor_value_info("faces", onnx.TensorProto.UINT8, ["N", 48, 48])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 2])],
        [
            from_array(value if value.dtype == np.int64 else np.float32(value), name)
            for name, value in constants.items()
        ],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8
    )


def test_scales_above_0_go_into_the_convolution():
    model = pooled([0.5, 2.0])
    quick = optimized(model)
    kinds = operations(quick)
    assert kinds[2:5] == ["Conv", "MaxPool", "Relu"]
    assert not {"Mul", "Add"} & set(kinds)
    assert {constant.name for constant in quick.graph.initializer} == {
        "kernel",
        "shift",
        "axis",
        "axes",
    }
    logits = predict_logits(model, FACES)
    assert (logits.std(axis=0) > 1).all()
    assert predict_logits(quick, FACES) == pytest.approx(logits, rel=1e-5, abs=1e-4)
    # What is handed in stays as it is.
    assert "Mul" in operations(model)


@pytest.mark.parametrize("scale", [[0.5, -2.0], [0.0, 1.0]])
def test_other_scales_stay_where_they_are(scale):
    """The largest value times a negative scale is the smallest."""
    model = pooled(scale)
    left = optimized(model)
    assert operations(left) == operations(model)
    assert np.array_equal(predict_logits(left, FACES), predict_logits(model, FACES))


def test_what_is_read_twice_stays_as_it_is():
    model = pooled([0.5, 2.0])
    model.graph.node[7].input[0] = "scaled"
    assert operations(optimized(model)) == operations(model)
    (kernel,) = (c for c in optimized(model).graph.initializer if c.name == "kernel")
    assert np.array_equal(to_array(kernel), to_array(model.graph.initializer[0]))
