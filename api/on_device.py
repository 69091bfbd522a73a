"""What the page needs to recognize faces on the visitor's device: files, and their description."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from api.models.evaluation import read_evaluation
from api.models.model_source import FileSource
from recognizer.classifier import Classifier
from recognizer.detectors import yunet
from recognizer.released_models import released_models

STATIC = Path(__file__).with_name("static")
RUNTIME = STATIC / "onnxruntime" / "ort.wasm.bundle.min.mjs"
"""onnxruntime-web, a package that `make page-packages` fetches."""

MODELS = ("fer2013-small", "fer2013", "ferplus")
"""The models that the page offers, if they are part of this copy; the first one is preselected."""


def device_files() -> dict[str, Path]:
    """The models and the alignment, by their names under `device/`; none without the runtime."""
    if not RUNTIME.is_file():
        return {}
    released = released_models()
    models = {f"{name}.onnx": released[name] for name in MODELS if name in released}
    return {
        "face_detection_yunet.onnx": yunet.MODEL,
        "yunet_alignment.json": yunet.ALIGNMENT,
        **models,
    }


def device_models(metrics_dir: Path) -> list[dict[str, Any]]:
    """Describe the models for the page, the preselected one first.

    Returns
    -------
    list of dict
        `name`, `version`, `dataset`, `labels`, `bytes` of the file, and `evaluation`: the metrics
        on PrivateTest, or None. Empty without the runtime.
    """
    return [
        {"name": path.parent.name, **_described(path, metrics_dir, path.stat().st_mtime_ns)}
        for name, path in device_files().items()
        if name.removesuffix(".onnx") in MODELS
    ]


@lru_cache(maxsize=2 * len(MODELS))
def _described(path: Path, metrics_dir: Path, modified: int) -> dict[str, Any]:
    """Describe a model file; `modified` is a part of the key of the cache."""
    source = FileSource(path, metrics_dir)
    content = source.read()
    classifier = Classifier.of(content, str(source))
    evaluation = read_evaluation(source, classifier)
    return {
        "version": classifier.version,
        "dataset": classifier.dataset,
        "labels": classifier.labels,
        "bytes": len(content),
        "evaluation": {"PrivateTest": evaluation["PrivateTest"]} if evaluation else None,
    }
