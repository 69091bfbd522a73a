"""The logits that a model file computes before its calibration."""

import numpy as np
import onnx
import onnxruntime

from recognizer.classifier import BATCH, INPUT

LOGITS = "logits"
"""Name of the tensor in the file: float32 [N, C], the input of the calibration."""


def predict_logits(model: onnx.ModelProto, faces: np.ndarray) -> np.ndarray:
    """Compute the logits of faces.

    Parameters
    ----------
    model : onnx.ModelProto
        With a tensor `logits`, an output or an inner one.
    faces : uint8 [N, 48, 48]

    Returns
    -------
    float32 [N, C]
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    tensor = onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, ("N", None))
    copy.graph.output.append(tensor)
    session = onnxruntime.InferenceSession(copy.SerializeToString())
    steps = [faces[start : start + BATCH] for start in range(0, len(faces), BATCH)]
    return np.concatenate([session.run([LOGITS], {INPUT: step})[0] for step in steps])
