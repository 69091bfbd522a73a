"""Static eight-bit quantization of an ONNX network."""

import contextlib
import io
import tempfile
from pathlib import Path

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
from stages.parameters import Export, Float32, Int8


def quantize(model: onnx.ModelProto, faces: np.ndarray) -> onnx.ModelProto:
    """Quantize the convolutions and the activations between them to eight bits.

    All up to the second convolution stays in float32: rounding the image would change the logits
    more than rounding all later activations does (experiments/attempts.md). Each channel of the
    other convolutions has its own scale. Weights use seven bits: a processor without VNNI adds the
    products in 16 bits, and eight-bit weights could overflow there.

    Parameters
    ----------
    model : onnx.ModelProto
        `faces` to `logits`, in float32.
    faces : uint8 [N, 48, 48]
        At least one. The 99.999th percentile of each activation over these faces becomes the
        largest value that eight bits represent.

    Returns
    -------
    onnx.ModelProto
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder, name) for name in ("0.onnx", "1.onnx", "2.onnx"))
        onnx.save(model, plain)
        # quantize_static prints its progress.
        with contextlib.redirect_stdout(io.StringIO()):
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantized,
                _Batches(faces),
                op_types_to_quantize=["Conv", "Relu", "MaxPool", "Add"],
                per_channel=True,
                reduce_range=True,
                nodes_to_exclude=_before_second_convolution(onnx.load(prepared)),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": 99.999},
            )
        return onnx.load(quantized)


def _before_second_convolution(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes before the second convolution; every network here has several."""
    nodes = model.graph.node
    _, second, *_ = (place for place, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[:second]]


class _Batches(CalibrationDataReader):
    def __init__(self, faces: np.ndarray):
        # onnxruntime takes batches of one size only; the remaining faces are omitted.
        size = min(BATCH, len(faces))
        starts = range(0, len(faces) - size + 1, size)
        self._batches = iter([faces[start : start + size] for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def to_precision(converted: onnx.ModelProto, export: Export, faces: np.ndarray) -> onnx.ModelProto:
    """Bring a float32 network to the precision of the served file.

    Parameters
    ----------
    converted : onnx.ModelProto
        `faces` to `logits`.
    export : Export
        That section of the parameter file.
    faces : uint8 [N, 48, 48]
        Training faces; `export.calibration` of them, drawn at random, determine the ranges of the
        activations.
    """
    match export:
        case Float32():
            return converted
        case Int8(calibration=count, seed=seed):
            return quantize(
                converted, faces[np.random.default_rng(seed).permutation(len(faces))[:count]]
            )
