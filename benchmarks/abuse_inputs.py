"""The hostile inputs of `benchmarks/abuse.py`; the tests send smaller ones of the same kinds."""

import io
import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from recognizer.classifier import FORMAT, INPUT, OUTPUT, SIZE

INFER = "/v2/models/emotion/infer"
URL_ENCODED = "application/x-www-form-urlencoded"


def progressive_jpeg(side: int, grain: int = 0) -> bytes:
    """A progressive JPEG of side × side pixels; `grain` is the size of its noise."""
    pixels = np.full((side, side, 3), 90, np.uint8)
    if grain:
        noise = np.random.default_rng(0).integers(0, grain, (side // 4, side // 4), dtype=np.uint8)
        pixels[: side // 4 * 4, : side // 4 * 4] += noise.repeat(4, 0).repeat(4, 1)[..., None]
    return _saved(pixels, "JPEG", progressive=True, quality=90)


def flat_webp(side: int) -> bytes:
    """A lossless WebP of one colour: about a kilobyte."""
    return _saved(np.full((side, side, 3), 90, np.uint8), "WEBP", lossless=True)


def _saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def post(path: str, body: bytes, content_type: str) -> bytes:
    """A request with this body."""
    return post_head(path, len(body), content_type) + body


def post_head(path: str, length: int, content_type: str) -> bytes:
    """The head of a request with a body of this length."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def batch(file: bytes, count: int) -> bytes:
    """`POST /predict/batch` with a file many times."""
    start = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return post(
        "/predict/batch",
        (start + file + b"\r\n") * count + b"--b--\r\n",
        "multipart/form-data; boundary=b",
    )


def tensor(file: bytes, count: int) -> bytes:
    """`POST …/infer` with a file many times, each taken as one face."""
    data = [b64encode(file).decode()] * count
    inputs = [{"name": INPUT, "shape": [count], "datatype": "BYTES", "data": data}]
    body = json.dumps({"inputs": inputs, "parameters": {"faces": "whole"}}).encode()
    return post(INFER, body, "application/json")


def values(value: bytes, size: int) -> bytes:
    """`POST …/infer` with a UINT8 tensor whose values are `value`, about `size` bytes."""
    start = b'{"inputs": [{"name": "faces", "shape": [1, 48, 48], "datatype": "UINT8", "data": ['
    body = start + b",".join([value] * (size // (len(value) + 1))) + b"]}]}"
    return post(INFER, body, "application/json")


def words(size: int) -> bytes:
    """`POST /predict` with base64 that consists of single letters."""
    return post("/predict", b'{"image": "%s"}' % (b"A " * (size // 2)), "application/json")


def form_fields(size: int) -> bytes:
    """A multipart form of empty fields."""
    one = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\r\n'
    body = one * (size // len(one)) + b"--b--\r\n"
    return post("/analyze", body, "multipart/form-data; boundary=b")


def looping_model(path: Path) -> Path:
    """Write a model with this project's inputs and outputs whose loop never ends."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])],
    )
    flat = SIZE * SIZE
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["forever", "true", "zero"], ["total"], body=body),
            helper.make_node("Cast", [INPUT], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
            helper.make_node("MatMul", ["rows", "weights"], ["logits"]),
            helper.make_node("Add", ["logits", "total"], ["sums"]),
            helper.make_node("Softmax", ["sums"], [OUTPUT]),
        ],
        "loop",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", SIZE, SIZE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", 2])],
        [
            helper.make_tensor("forever", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("true", TensorProto.BOOL, [], [True]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("flat", TensorProto.INT64, [2], [-1, flat]),
            helper.make_tensor("weights", TensorProto.FLOAT, [flat, 2], [0.0] * (2 * flat)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    helper.set_model_props(
        model,
        {
            "format": FORMAT,
            "labels": '["happy", "sad"]',
            "dataset": "loop",
            "parameters_digest": "0",
            "data_digest": "0",
            "calibration": '{"scale": [1.0, 1.0], "bias": [0.0, 0.0]}',
            "metrics": "{}",
        },
    )
    onnx.save(model, path)
    return path
