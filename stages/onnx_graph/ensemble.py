"""Several networks in one file: the teachers that the stage teach keeps, and the mean of many."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx

from stages.errors import UserError
from stages.onnx_graph.logits import LOGITS


def read_teachers(folder: Path, numbers: Iterable[int]) -> list[onnx.ModelProto]:
    """Read the files NUMBER-DIGEST.onnx that teach has left.

    Returns
    -------
    list of onnx.ModelProto
        `faces` uint8 [N, 48, 48] to `logits` float32 [N, C], not calibrated.

    Raises
    ------
    UserError
        One is missing.
    """
    teachers = []
    for number in numbers:
        found = sorted(folder.glob(f"{number}-*.onnx"))
        if len(found) != 1:
            raise UserError(
                f"{folder}: expected one file {number}-….onnx, found {len(found)};"
                " run `dvc repro`, which makes it first"
            )
        teachers.append(onnx.load(found[0]))
    return teachers


def committee(members: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Join networks into one that answers with the mean of their logits.

    Parameters
    ----------
    members : sequence of onnx.ModelProto
        Each `faces` to `logits`, all with the same versions of ONNX's operators.

    Returns
    -------
    onnx.ModelProto
        `faces` to `logits`.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(members[0])
    graph = whole.graph
    for field in (graph.node, graph.initializer, graph.value_info):
        del field[:]
    logits = []
    for number, member in enumerate(members, 1):
        prefixed = onnx.compose.add_prefix_graph(
            member.graph, f"{number}.", rename_inputs=False, rename_outputs=True
        )
        graph.node.extend(prefixed.node)
        graph.initializer.extend(prefixed.initializer)
        logits.append(prefixed.output[0].name)
    graph.node.append(onnx.helper.make_node("Mean", logits, [LOGITS], "Mean"))
    onnx.checker.check_model(whole, full_check=True)
    return whole
