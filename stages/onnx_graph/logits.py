"""What a model file computes before it is calibrated."""

import numpy as np
import onnx
import onnxruntime

from recognizer.classifier import BATCH, INPUT

LOGITS = "logits"
"""Name of the tensor in the file that calibration begins with: float32 [N, C]."""


def predict_logits(model: onnx.ModelProto, faces: np.ndarray) -> np.ndarray:
    """Compute the logits of faces.

    Parameters
    ----------
    model : onnx.ModelProto
        With a tensor `logits`, be it an output or not.
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
