"""Conversion of a trained Keras network to ONNX.

The result takes uint8 faces [N, 48, 48] and computes logits float32 [N, C].
"""

import logging
import tempfile
import warnings
from pathlib import Path

import keras
import onnx

from recognizer.classifier import INPUT
from stages.dataset.faces import SIZE
from stages.onnx_graph.graph_optimization import optimized
from stages.onnx_graph.logits import LOGITS


def served_model(network: keras.Model, size: int) -> keras.Model:
    """Put the resizing of the faces in front of a network, as it is served.

    Parameters
    ----------
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C].
    size : int
        Height and width of the faces in the last epoch of training.

    Returns
    -------
    keras.Model
        `faces` uint8 [N, 48, 48] to logits float32 [N, C].
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
        # tf2onnx cannot move the transpositions of MobileNetV3 and warns with a traceback. The
        # graph is right; onnxruntime moves them when it loads the file.
        logging.getLogger("tf2onnx.optimizer").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Keras looks for a name of NumPy 1 in NumPy 2; it works without it.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            model.export(path, format="onnx", input_signature=[faces], verbose=False)
        exported = onnx.load(path)
    _sort_by_use(exported.graph)
    _name_by_position(exported.graph)
    for value in (*exported.graph.input, *exported.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    exported.graph.name = "facial expression recognition"
    exported.graph.doc_string = ""
    return optimized(exported)


def _sort_by_use(graph: onnx.GraphProto) -> None:
    """Sort the nodes by depth-first search from the output, each after its inputs.

    Where a graph branches, tf2onnx puts the branches into another order in every process.
    """
    makers = {name: node for node in graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    pending, done = [(makers[graph.output[0].name], False)], set()
    while pending:
        node, has_inputs = pending.pop()
        if node.name in done:
            continue
        if has_inputs:
            done.add(node.name)
            ordered.append(node)
            continue
        pending.append((node, True))
        pending += [(makers[name], False) for name in reversed(node.input) if name in makers]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _name_by_position(graph: onnx.GraphProto) -> None:
    """Rename nodes and tensors by their place in the graph.

    tf2onnx numbers them differently in every process, and sorts the constants by these numbers.
    Equal networks shall give equal bytes. The input and output get the names of the contract.
    """
    # An omitted optional input has the empty name.
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
