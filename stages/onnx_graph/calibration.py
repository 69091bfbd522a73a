"""Calibration on PublicTest: a scale and a bias for each logit, then the softmax."""

import numpy as np
import onnx
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.metrics import recall_score

from recognizer.classifier import OUTPUT
from stages.errors import UserError
from stages.onnx_graph.logits import LOGITS
from stages.onnx_graph.standard import standardized


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a scale and a bias for each class's logit by maximum a posteriori.

    Vector scaling (Guo et al., On Calibration of Modern Neural Networks, 2017). The logarithms of
    the scales and the biases have a normal prior with mean 0 and standard deviation 0.5, so that
    few faces change little.

    Parameters
    ----------
    logits : float [N, C]
    labels : int [N]

    Returns
    -------
    scale : float32 [C]
        Above 1 where the network is underconfident, below 1 where it is overconfident.
    bias : float32 [C]
    """
    classes = logits.shape[1]
    targets = np.eye(classes)[labels]

    def cost(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale, bias = np.exp(values[:classes]), values[classes:]
        scores = log_softmax(logits * scale + bias, axis=1)
        error = np.exp(scores) - targets
        slope = np.concatenate([scale * (error * logits).sum(axis=0), error.sum(axis=0)])
        prior = 0.5 / 0.5**2 * (values**2).sum()
        return prior - (targets * scores).sum(), slope + values / 0.5**2

    found = minimize(cost, np.zeros(2 * classes), jac=True, method="L-BFGS-B")
    scale, bias = np.exp(found.x[:classes]), found.x[classes:]
    return scale.astype(np.float32), bias.astype(np.float32)


def raise_recalls(scores: np.ndarray, labels: np.ndarray, floor: float) -> np.ndarray:
    """Find an addition to each class's logit that gives every class a minimum recall.

    The logit of the class with the lowest recall rises by 0.01 until every recall is at least
    `floor`. This is post-hoc logit adjustment (Menon et al., 2021), by recall instead of class
    frequency.

    Parameters
    ----------
    scores : float [N, C]
        Calibrated logits.
    labels : int [N]
        Every class must occur.
    floor : float
        0 … 1.

    Returns
    -------
    float32 [C], 0 and above.

    Raises
    ------
    UserError
        No addition was found within 100 steps per class.
    """
    added = np.zeros(scores.shape[1], np.float32)
    for _ in range(100 * scores.shape[1]):
        recalls = recall_score(labels, (scores + added).argmax(axis=1), average=None)
        if recalls.min() >= floor:
            return added
        added[recalls.argmin()] += np.float32(0.01)
    raise UserError(
        f"export.recall_floor: no biases give every emotion a recall of {floor} on PublicTest"
        f" (reached {recalls.min():.2f}); lower export.recall_floor or train a better network"
    )


def calibrated(
    model: onnx.ModelProto, scale: np.ndarray, bias: np.ndarray, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Append the calibration and the softmax to a graph, and add the metadata.

    Parameters
    ----------
    model : onnx.ModelProto
        `faces` to `logits`.
    scale, bias : float32 [C]
    metadata : dict
        Text by key.

    Returns
    -------
    onnx.ModelProto
        `faces` to `probabilities`, as the ONNX standard defines the operators.
    """
    complete, make = onnx.ModelProto(), onnx.helper
    complete.CopyFrom(model)
    graph = complete.graph
    graph.node.extend(
        [
            make.make_node("Mul", [LOGITS, "scale"], ["scaled"], "Scale"),
            make.make_node("Add", ["scaled", "bias"], ["calibrated"], "Bias"),
            make.make_node("Softmax", ["calibrated"], [OUTPUT], "Softmax", axis=1),
        ]
    )
    graph.initializer.extend(
        [onnx.numpy_helper.from_array(scale, "scale"), onnx.numpy_helper.from_array(bias, "bias")]
    )
    graph.output[0].name = OUTPUT
    make.set_model_props(complete, dict(sorted(metadata.items())))
    return standardized(complete)
