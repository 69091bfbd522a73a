import pytest

from recognizer.classifier import Classifier
from tests.model_fixture import write_tiny_model


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="session")
def classifier(model_path):
    return Classifier(model_path)
