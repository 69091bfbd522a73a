"""A tiny model.onnx that keeps the contract: its probabilities depend on every pixel."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

SCALE = (1.1, 0.9, 0.8, 1.2, 1.0, 0.7, 1.3)
BIAS = (0.1, -0.2, 0.3, 0.0, -0.1, 0.2, -0.3)

METADATA = {
    "format": "fer-onnx/2",
    "labels": json.dumps(LABELS),
    "dataset": "tiny",
    "parameters_digest": "0a" * 32,
    "data_digest": "1b" * 32,
    "calibration": json.dumps({"scale": SCALE, "bias": BIAS}),
    "metrics": json.dumps({"PublicTest": {"accuracy": 0.5, "macro_f1": 0.4, "log_loss": 1.2}}),
}


def write_tiny_model(
    path: Path,
    *,
    metadata: dict[str, str | None] | None = None,
    input_name: str = "faces",
    output_name: str = "probabilities",
    input_type: int = TensorProto.UINT8,
    input_shape: tuple = ("N", 48, 48),
    pixels: int = 48 * 48,
    softmax: bool = True,
    seed: int = 0,
) -> Path:
    """Write a random linear model; the keyword arguments make it a foreign one.

    `metadata` overrides single properties; None takes a property out.
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 1e-3, (pixels, len(LABELS))).astype(np.float32)
    initializers = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([-1, pixels]), "flat"),
        numpy_helper.from_array(np.float32(SCALE), "scale"),
        numpy_helper.from_array(np.float32(BIAS), "bias"),
    ]
    nodes = [
        helper.make_node("Cast", [input_name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["logits"]),
        helper.make_node("Mul", ["logits", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["calibrated"]),
        helper.make_node("Softmax" if softmax else "Exp", ["calibrated"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, input_type, input_shape)],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ("N", len(LABELS)))],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    properties = {**METADATA, **(metadata or {})}
    helper.set_model_props(model, {k: v for k, v in properties.items() if v is not None})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
