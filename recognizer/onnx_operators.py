"""The operators of an ONNX file, read and checked before onnxruntime runs any of them.

A file from elsewhere may have the inputs and outputs of this project's models and a loop that never
ends. So a file may only have operators whose time depends on the sizes of their inputs alone.

onnxruntime cannot list the operators of a file, and the package `onnx` is not installed where a
model is served. The few fields that matter are read here from the Protocol Buffers encoding
(https://protobuf.dev/programming-guides/encoding/ and onnx.proto of ONNX 1.23).
"""

from collections.abc import Iterator

ALLOWED = frozenset(
    {
        # of the exported models
        *("Add", "Cast", "Conv", "DequantizeLinear", "Gather", "Gemm", "GlobalAveragePool"),
        *("InstanceNormalization", "MaxPool", "Mean", "Mul", "QuantizeLinear", "Relu", "Reshape"),
        *("Resize", "Softmax", "Squeeze", "Unsqueeze"),
        # of other classifiers
        *("Abs", "AveragePool", "BatchNormalization", "Clip", "Concat", "Constant", "Div"),
        *("Dropout", "Elu", "Erf", "Exp", "Flatten", "Gelu", "GlobalMaxPool", "GroupNormalization"),
        *("HardSigmoid", "HardSwish", "Identity", "LayerNormalization", "LeakyRelu", "Log"),
        *("LogSoftmax", "MatMul", "Max", "Min", "Neg", "Pad", "Pow", "PRelu", "Reciprocal"),
        *("ReduceMax", "ReduceMean", "ReduceSum", "Selu", "Shape", "Sigmoid", "Slice", "Softplus"),
        *("Softsign", "Split", "Sqrt", "Sub", "Sum", "Tanh", "Transpose"),
    }
)
"""Operators of ONNX's own domain. Not among them: Loop, Scan and If."""

DOMAINS = {"", "ai.onnx"}
"""ONNX's own domain, by both of its names."""

MODEL_GRAPH, MODEL_FUNCTIONS = 7, 25
GRAPH_NODE = 1
NODE_OPERATOR, NODE_DOMAIN = 4, 7
"""Field numbers in onnx.proto."""


class DamagedError(ValueError):
    """The bytes are not an ONNX file."""


def check_operators(model: bytes) -> None:
    """Check that a model has allowed operators only.

    Parameters
    ----------
    model : bytes
        An ONNX file.

    Raises
    ------
    DamagedError
        The bytes are not an ONNX file.
    ValueError
        The file has functions, or an operator that is not allowed, which the message names.
    """
    graphs, functions = _fields(model, MODEL_GRAPH, MODEL_FUNCTIONS)
    if functions:
        raise ValueError("it has functions, which this project's models have not")
    for graph in graphs:
        for domain, operator in _operators(graph):
            if domain not in DOMAINS or operator not in ALLOWED:
                name = f"{domain}.{operator}" if domain not in DOMAINS else operator
                raise ValueError(f"its operator {name[:100]!r} is not allowed")


def _operators(graph: bytes) -> Iterator[tuple[str, str]]:
    """The domain and the name of each operator. Subgraphs belong to operators not allowed."""
    (nodes,) = _fields(graph, GRAPH_NODE)
    for node in nodes:
        operators, domains = _fields(node, NODE_OPERATOR, NODE_DOMAIN)
        # A field may be repeated, and the last one counts; all of them are checked.
        for domain in domains or [b""]:
            for operator in operators or [b""]:
                yield domain.decode(errors="replace"), operator.decode(errors="replace")


def _fields(message: bytes, *wanted: int) -> list[list[bytes]]:
    """The contents of the wanted fields, by their numbers; each field may be repeated."""
    view, position = memoryview(message), 0
    found: dict[int, list[bytes]] = {number: [] for number in wanted}
    while position < len(view):
        tag, position = _number(view, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, position = _number(view, position)
        elif kind == LENGTH:
            length, position = _number(view, position)
            if number in found:
                found[number].append(bytes(view[position : position + length]))
            position += length
        elif kind in FIXED:
            position += FIXED[kind]
        else:
            raise DamagedError("not in the Protocol Buffers encoding, or cut short")
    if position != len(view):
        raise DamagedError("not in the Protocol Buffers encoding, or cut short")
    return list(found.values())


VARINT, LENGTH = 0, 2
FIXED = {1: 8, 5: 4}
"""Bytes of a number by its wire type."""


def _number(view: memoryview, position: int) -> tuple[int, int]:
    """A number of variable length, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            break
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise DamagedError("not in the Protocol Buffers encoding, or cut short")
