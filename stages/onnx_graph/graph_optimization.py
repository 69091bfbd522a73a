"""Fewer operations in an ONNX graph that say the same, so that a face takes less time.

What Keras exports is exact, but slow where one of its layers becomes a dozen operations, and where
what could be computed with the convolution before it comes too late for that.
"""

import numpy as np
import onnx
from onnx.helper import make_node
from onnx.numpy_helper import from_array, to_array

GROUP_NORMALIZATION = sorted(
    ["Reshape", "ReduceMean", "Neg", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Reciprocal"]
    + 2 * ["Mul"]
    + ["Add", "Reshape"]
)
"""What tf2onnx makes of Keras's GroupNormalization with one group and no weights of its own."""


def fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Normalise faces in one operation, and take scales into the convolutions before the poolings.

    Parameters
    ----------
    model : onnx.ModelProto
        Where nothing of the kind is found, nothing is changed.

    Returns
    -------
    onnx.ModelProto
        The same function of its input, but for rounding.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    _normalize_at_once(graph)
    _pool_last(graph)
    used = {name for node in graph.node for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    # Shapes that an earlier tool has noted are those of the former order.
    del graph.value_info[:]
    onnx.checker.check_model(result, full_check=True)
    return result


def _normalize_at_once(graph: onnx.GraphProto) -> None:
    """Of one channel, group normalisation is instance normalisation, which ONNX has."""
    constants = {constant.name: to_array(constant) for constant in graph.initializer}
    length = len(GROUP_NORMALIZATION)
    for start in range(len(graph.node) - length + 1):
        chain = graph.node[start : start + length]
        if sorted(node.op_type for node in chain) != GROUP_NORMALIZATION:
            continue
        # The last gives the faces the shape that convolutions take: [N, 1, height, width].
        first, last = chain[0], chain[-1]
        shape, shaped = last.input[1], f"{last.name}.shaped"
        if constants[shape][1] != 1:
            continue
        additions = [name for node in chain if node.op_type == "Add" for name in node.input]
        (epsilon,) = (float(constants[name]) for name in additions if name in constants)
        one, zero = f"{last.name}.one", f"{last.name}.zero"
        graph.initializer.append(from_array(np.ones(1, np.float32), one))
        graph.initializer.append(from_array(np.zeros(1, np.float32), zero))
        replacement = [
            make_node("Reshape", [first.input[0], shape], [shaped], first.name),
            make_node(
                "InstanceNormalization",
                [shaped, one, zero],
                [last.output[0]],
                last.name,
                epsilon=epsilon,
            ),
        ]
        nodes = [*graph.node[:start], *replacement, *graph.node[start + length :]]
        del graph.node[:]
        graph.node.extend(nodes)
        return


def _pool_last(graph: onnx.GraphProto) -> None:
    """Convolve, pool, scale, shift, cut off below 0: with scales above 0, pool as well at the end.

    A convolution scales and shifts in passing, and after it the pooling is of eight bits.
    """
    constants = {constant.name: constant for constant in graph.initializer}
    for convolution in [node for node in graph.node if node.op_type == "Conv"]:
        chain = _chain(graph, convolution, 5)
        if [node.op_type for node in chain] != ["Conv", "MaxPool", "Mul", "Add", "Relu"]:
            continue
        _, pool, scaling, shifting, relu = chain
        kernel, scale, shift = (
            to_array(constants[node.input[1]]) for node in (convolution, scaling, shifting)
        )
        # A bias of its own would have to be scaled too.
        if len(convolution.input) > 2 or not (scale > 0).all():
            continue
        scaled = kernel * scale.reshape(-1, 1, 1, 1)
        constants[convolution.input[1]].CopyFrom(from_array(scaled, convolution.input[1]))
        constants[shifting.input[1]].CopyFrom(from_array(shift.reshape(-1), shifting.input[1]))
        convolution.input.append(shifting.input[1])
        cut_off = make_node("Relu", convolution.output, pool.output, relu.name)
        pool.input[:], pool.output[:] = pool.output, relu.output
        for node in (scaling, shifting, relu):
            graph.node.remove(node)
        graph.node.insert(list(graph.node).index(pool), cut_off)


def _chain(graph: onnx.GraphProto, node: onnx.NodeProto, length: int) -> list[onnx.NodeProto]:
    """`node` and those after it, until one has several readers."""
    chain = [node]
    while len(chain) < length:
        readers = [reader for reader in graph.node if chain[-1].output[0] in reader.input]
        if len(readers) != 1:
            break
        chain += readers
    return chain
