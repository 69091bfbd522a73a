"""The operators of an exported file as the ONNX standard defines them, for every runtime.

tf2onnx writes Resize by scales: 48 · float32(40 / 48) is 39.999999, and the standard rounds it down
to 39. onnxruntime computes 40, other runtimes refuse the file or read the wrong size.
"""

import numpy as np
import onnx
from onnx.numpy_helper import from_array, to_array

OPSET = 19
"""Version of ONNX's operators in the files: the first that defines eight-bit quantization as
onnx.reference implements it. Resize by the sizes of some axes only is part of it since 18."""

IR_VERSION = 9
"""The version of the file format that ONNX released together with `OPSET`."""


def standardized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a graph to `OPSET`, with fixed sizes in each Resize instead of scales.

    Parameters
    ----------
    model : onnx.ModelProto
        A standardized graph stays as it is.

    Returns
    -------
    onnx.ModelProto
        The same nodes with the same names, attributes and weights; onnxruntime computes the same
        values. It declares the operator sets that it uses, and no others.
    """
    result = onnx.version_converter.convert_version(model, OPSET)
    result.ir_version = IR_VERSION
    _resize_to_sizes(result)
    used = {node.domain for node in result.graph.node}
    declared = [opset for opset in result.opset_import if opset.domain in used]
    del result.opset_import[:]
    result.opset_import.extend(declared)
    # The recorded shapes have the size that the scales gave.
    del result.graph.value_info[:]
    onnx.checker.check_model(result, full_check=True)
    onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)
    return result


def _resize_to_sizes(model: onnx.ModelProto) -> None:
    """Replace the scales of each Resize of [N, C, H, W] by the new height and width."""
    graph = model.graph
    shapes = _shapes(model)
    constants = {constant.name: constant for constant in graph.initializer}
    for node in graph.node:
        scales = node.input[2] if node.op_type == "Resize" and len(node.input) > 2 else ""
        if scales not in constants:
            continue
        name, factors = f"{node.name}.sizes", to_array(constants[scales])[2:]
        # Scales are rounded quotients of whole numbers, so the sizes are whole numbers.
        sizes = np.rint(factors.astype(float) * shapes[node.input[0]][2:]).astype(np.int64)
        graph.initializer.append(from_array(sizes, name))
        node.input[:] = [node.input[0], "", "", name]
        node.attribute.append(onnx.helper.make_attribute("axes", [2, 3]))
    used = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The inferred shape of each tensor; 0 for a length that is not fixed."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return {
        value.name: [length.dim_value for length in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.input, *inferred.graph.value_info)
    }
