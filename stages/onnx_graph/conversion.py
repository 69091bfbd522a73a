"""Turn a trained Keras network into ONNX, and into eight bits.

What comes out takes uint8 faces [N, 48, 48] and gives logits float32 [N, C]; export calibrates
it, teach asks it.
"""

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from recognizer.classifier import BATCH, INPUT
from stages.dataset.fer_csv import SIZE
from stages.onnx_graph.graph_optimization import fused
from stages.onnx_graph.logits import LOGITS
from stages.parameters import Export, Float32, Int8


def served_model(network: keras.Model, size: int) -> keras.Model:
    """Wrap a network the way it is served, but for the calibration.

    Parameters
    ----------
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, 7].
    size : int
        Height and width that the network was trained on last.

    Returns
    -------
    keras.Model
        `faces` uint8 [N, 48, 48] to logits float32 [N, 7].
    """
    faces = keras.Input((SIZE, SIZE), dtype="uint8", name=INPUT)
    x = keras.ops.expand_dims(keras.ops.cast(faces, "float32"), -1)
    if size != SIZE:
        x = keras.layers.Resizing(size, size, interpolation="bilinear")(x)
    return keras.Model(faces, network(x, training=False))


def convert(model: keras.Model) -> onnx.ModelProto:
    """Convert what `served_model` made to ONNX: `faces` to `logits`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        faces = keras.InputSpec("uint8", (None, SIZE, SIZE), name=INPUT)
        with warnings.catch_warnings():
            # Keras asks NumPy 2 for a name of NumPy 1, and is not bothered by the answer.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            model.export(path, format="onnx", input_signature=[faces], verbose=False)
        exported = onnx.load(path)
    _name_by_position(exported.graph)
    for value in (*exported.graph.input, *exported.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    exported.graph.name = "facial expression recognition"
    exported.graph.doc_string = ""
    return fused(exported)


def _name_by_position(graph: onnx.GraphProto) -> None:
    """Rename nodes and tensors by their place in the graph, the input and output by contract.

    tf2onnx numbers them, and sorts the constants by these numbers, differently in
    every process; the same network shall give the same bytes.
    """
    # An optional input that is left out has the empty name.
    names = {"": "", graph.input[0].name: INPUT, graph.output[0].name: LOGITS}
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
        for position, name in enumerate(node.input):
            names.setdefault(name, f"{node.name}.input_{position}")
        for position, name in enumerate(node.output):
            names.setdefault(name, f"{node.name}.output_{position}")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = names[value.name]
    graph.initializer.sort(key=lambda constant: constant.name)


def quantize(model: onnx.ModelProto, faces: np.ndarray) -> onnx.ModelProto:
    """Let the convolutions and what stands between them compute in eight bits.

    The convolutions have a scale for each channel. Weights take seven of the eight, so that a
    processor without VNNI, which adds in 16 bits, gets the same sums as one that has it.

    Parameters
    ----------
    model : onnx.ModelProto
        `faces` to `logits`, float32 inside.
    faces : uint8 [N, 48, 48]
        At least one. Their 99.999th percentile between the layers is the largest value that can
        be told.

    Returns
    -------
    onnx.ModelProto
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder, name) for name in ("0.onnx", "1.onnx", "2.onnx"))
        onnx.save(model, plain)
        # It reports its progress by printing.
        with contextlib.redirect_stdout(io.StringIO()):
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantized,
                _Batches(faces),
                op_types_to_quantize=["Conv", "Relu", "MaxPool", "Add"],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": 99.999},
            )
        return onnx.load(quantized)


def dequantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a network of eight bits compute in float32 again, with the weights it has.

    So that it can be quantised anew, in the way that is used now.

    Parameters
    ----------
    model : onnx.ModelProto
        As `quantize` left it, now or in an earlier version.

    Returns
    -------
    onnx.ModelProto
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {
        constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer
    }
    makers = {name: node.op_type for node in graph.node for name in node.output}
    # What is told apart only by having been rounded is the same value now.
    same: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            nodes.append(node)
        elif node.input[0] in constants:
            values, scale, zero = (constants[name] for name in node.input)
            shape = [-1, *[1] * (values.ndim - 1)]
            steps = values.astype(int) - zero.astype(int).reshape(shape)
            floats = np.float32(steps * scale.reshape(shape))
            graph.initializer.append(onnx.numpy_helper.from_array(floats, node.output[0]))
        elif makers[node.input[0]] in ("Conv", "Add") and constants[node.input[2]] == 0:
            # Eight bits that begin at 0 cut off what is below; for that, `quantize` drops a ReLU.
            nodes.append(onnx.helper.make_node("Relu", node.input[:1], node.output, node.name))
        else:
            same[node.output[0]] = node.input[0]
    del graph.node[:]
    graph.node.extend(nodes)
    return fused(result)


class _Batches(CalibrationDataReader):
    def __init__(self, faces: np.ndarray):
        # onnxruntime takes batches of one size only; what is left after the last is left out.
        size = min(BATCH, len(faces))
        starts = range(0, len(faces) - size + 1, size)
        self._batches = iter([faces[start : start + size] for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def to_precision(converted: onnx.ModelProto, export: Export, faces: np.ndarray) -> onnx.ModelProto:
    """Bring what `convert` made to the precision that is served.

    Parameters
    ----------
    converted : onnx.ModelProto
    export : Export
        That section of params.yaml.
    faces : uint8 [N, 48, 48]
        Training faces; some of them, drawn at random, tell the range between the layers.
    """
    match export:
        case Float32():
            return converted
        case Int8(calibration=count, seed=seed):
            return quantize(
                converted, faces[np.random.default_rng(seed).permutation(len(faces))[:count]]
            )
