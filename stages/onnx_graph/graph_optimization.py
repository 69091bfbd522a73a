"""Graph rewrites that make an exported network faster and leave its function as it is.

Keras's export is slow in three places: one normalisation layer becomes a dozen operations, a
pooling between a convolution and its batch normalisation keeps the two from being merged, and
onnxruntime pools the output of the first convolution in eight bits.
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
"""Operations that tf2onnx exports for GroupNormalization with one group and no weights."""


def optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a graph by the three rules of this module.

    Parameters
    ----------
    model : onnx.ModelProto
        A graph without these patterns stays as it is.

    Returns
    -------
    onnx.ModelProto
        The same function of its input, except for rounding.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    _use_instance_normalization(graph)
    _pool_after_relu(graph)
    _pool_before_first_relu(graph)
    used = {name for node in graph.node for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    # The recorded shapes belong to the former order of the operations.
    del graph.value_info[:]
    onnx.checker.check_model(result, full_check=True)
    return result


def _use_instance_normalization(graph: onnx.GraphProto) -> None:
    """Replace tf2onnx's chain for a group normalisation of one channel by InstanceNormalization."""
    constants = {constant.name: to_array(constant) for constant in graph.initializer}
    length = len(GROUP_NORMALIZATION)
    for start in range(len(graph.node) - length + 1):
        chain = graph.node[start : start + length]
        if sorted(node.op_type for node in chain) != GROUP_NORMALIZATION:
            continue
        # The last Reshape gives the shape of a convolution's input: [N, 1, height, width].
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


def _pool_after_relu(graph: onnx.GraphProto) -> None:
    """Rewrite Conv → MaxPool → Mul → Add → Relu as Conv → Relu → MaxPool.

    Valid where every scale is positive, because max-pooling commutes with increasing functions.
    Scale and shift merge into the convolution, and the pooling works on eight-bit values.
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
        # A convolution with a bias is left as it is: its bias would have to be scaled too.
        if len(convolution.input) > 2 or not (scale > 0).all():
            continue
        scaled = kernel * scale.reshape(-1, 1, 1, 1)
        constants[convolution.input[1]].CopyFrom(from_array(scaled, convolution.input[1]))
        constants[shifting.input[1]].CopyFrom(from_array(shift.reshape(-1), shifting.input[1]))
        convolution.input.append(shifting.input[1])
        clip = make_node("Relu", convolution.output, pool.output, relu.name)
        pool.input[:], pool.output[:] = pool.output, relu.output
        for node in (scaling, shifting, relu):
            graph.node.remove(node)
        graph.node.insert(list(graph.node).index(pool), clip)


def _pool_before_first_relu(graph: onnx.GraphProto) -> None:
    """Rewrite Conv → Relu → MaxPool as Conv → MaxPool → Relu at the first convolution.

    This convolution is not quantized, and its output is. In the former order, onnxruntime would
    quantize before the pooling; its MaxPool of eight-bit values is slow where the channels come
    first, as they do after a float32 convolution.
    """
    convolution = next((node for node in graph.node if node.op_type == "Conv"), None)
    if convolution is None:
        return
    chain = _chain(graph, convolution, 3)
    if [node.op_type for node in chain] != ["Conv", "Relu", "MaxPool"]:
        return
    _, relu, pool = chain
    pooled = onnx.NodeProto()
    pooled.CopyFrom(pool)
    pooled.input[:], pooled.output[:] = convolution.output, relu.output
    relu.input[:], relu.output[:] = relu.output, pool.output
    graph.node.insert(list(graph.node).index(relu), pooled)
    graph.node.remove(pool)


def _chain(graph: onnx.GraphProto, node: onnx.NodeProto, length: int) -> list[onnx.NodeProto]:
    """The nodes from `node` on, up to `length` or to one whose output has several consumers."""
    chain = [node]
    while len(chain) < length:
        readers = [reader for reader in graph.node if chain[-1].output[0] in reader.input]
        if len(readers) != 1:
            break
        chain += readers
    return chain
