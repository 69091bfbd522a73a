"""Several networks in one ONNX graph: the mean of their logits."""

from collections.abc import Sequence

import onnx

from stages.onnx_graph.logits import LOGITS


def ensemble(networks: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Join networks into one whose logits are the mean of theirs.

    Parameters
    ----------
    networks : sequence of onnx.ModelProto
        Each `faces` to `logits`, all with the same versions of ONNX's operators.

    Returns
    -------
    onnx.ModelProto
        `faces` to `logits`.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(networks[0])
    graph = whole.graph
    for field in (graph.node, graph.initializer, graph.value_info):
        del field[:]
    logits = []
    for number, network in enumerate(networks, 1):
        prefixed = onnx.compose.add_prefix_graph(
            network.graph, f"{number}.", rename_inputs=False, rename_outputs=True
        )
        graph.node.extend(prefixed.node)
        graph.initializer.extend(prefixed.initializer)
        logits.append(prefixed.output[0].name)
    graph.node.append(onnx.helper.make_node("Mean", logits, [LOGITS], "Mean"))
    onnx.checker.check_model(whole, full_check=True)
    return whole
