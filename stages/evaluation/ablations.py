"""Metrics of a model without one step of its export: without calibration, without quantization."""

import onnx
from scipy.special import softmax

from recognizer.classifier import Classifier
from stages.dataset.faces import Faces
from stages.evaluation.metrics import classification_metrics
from stages.evaluation.prediction import predict
from stages.onnx_graph.logits import predict_logits


def metrics_without_calibration(model: onnx.ModelProto, faces: Faces) -> dict[str, float]:
    """Metrics of the softmax of a served model's raw logits; only those that calibration changes.

    Returns
    -------
    dict
        `accuracy`, `macro_f1`, `min_recall`, `log_loss`, `brier` and `ece`.
    """
    probabilities = softmax(predict_logits(model, faces.images), axis=1)
    metrics = classification_metrics(
        faces.labels, probabilities, faces.copy_in_training, faces.emotions
    )
    names = ("accuracy", "macro_f1", "min_recall", "log_loss", "brier", "ece")
    return {name: metrics[name] for name in names}


def metrics_without_quantization(float32: Classifier, faces: Faces) -> dict[str, float]:
    """Metrics of float32.onnx, the same networks in 32 bits, calibrated in the same way.

    Returns
    -------
    dict
        `accuracy`, `macro_f1` and `log_loss`.
    """
    probabilities = predict(float32, faces.images, "float32.onnx")
    metrics = classification_metrics(
        faces.labels, probabilities, faces.copy_in_training, faces.emotions
    )
    return {name: metrics[name] for name in ("accuracy", "macro_f1", "log_loss")}
