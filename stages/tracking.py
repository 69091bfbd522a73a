"""Logs trainings and evaluations to MLflow, where the variable MLFLOW_TRACKING_URI is set.

Each dataset is one MLflow experiment. `train` starts a run and logs its parameters and every epoch;
`evaluate` adds the metrics, the plots and the ONNX file with its signature. No result depends on
this file, and no failure of MLflow stops a stage: it is a warning.
"""

import hashlib
import importlib.util
import json
import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.artifacts import Artifacts
from stages.errors import UserError

log = logging.getLogger(__name__)

SHOWS_FACES = ("contact_sheet.png", "mistakes.png", "sensitivity_faces.png")
"""Plots that are not logged: they show faces, and FER-2013 may not be redistributed."""

EXPERIMENT_TAG = "DVC_EXP_NAME"
REVISION_TAG = "mlflow.source.git.commit"
FINGERPRINT_TAG = "training_fingerprint"
HISTORY_TAG = "history_sha256"
MODEL_TAG = "model_sha256"

_BATCH = 100
"""Parameters, or metrics, that one request may contain."""


@dataclass(frozen=True)
class Destination:
    """Where runs are logged, and what they come from."""

    uri: str
    """A server, a database, or a folder with its absolute path."""
    revision: str | None
    """Git commit that is checked out; None outside of git."""
    experiment: str | None
    """Name of the DVC experiment; None where the stage runs outside of one."""


def destination(environment: MutableMapping[str, str]) -> Destination | None:
    """Read the environment; None where nothing is to be logged.

    Sets the variables of MLflow that are not set yet and that this project wants otherwise: short
    timeouts, and permission to log to a folder.
    """
    uri = environment.get("MLFLOW_TRACKING_URI")
    if not uri:
        return None
    if importlib.util.find_spec("mlflow") is None:
        log.warning(
            "MLFLOW_TRACKING_URI is set but the package mlflow is not installed, so nothing is"
            " logged; `make .venv/tracking` installs it"
        )
        return None
    # A server that does not answer costs seconds instead of MLflow's minutes.
    environment.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    environment.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    environment.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # It prints each retry; the warning of the last one is enough.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    if "://" not in uri and uri != "databricks":
        # An experiment of the queue runs in a temporary folder; DVC_ROOT is the repository's.
        uri = str(Path(environment.get("DVC_ROOT", "."), uri).resolve())
    return Destination(uri, _git_commit(), environment.get(EXPERIMENT_TAG))


class Tracker:
    """Logs one run of one dataset; does nothing without a destination.

    After the first failure it warns and logs no more.
    """

    def __init__(self, dataset: str, where: Destination | None) -> None:
        self._dataset = dataset
        self._where = where
        self._run: str | None = None
        self._logged_epochs = 0

    def start_training(self, parameters: dict[str, Any], fingerprint: str, resumes: bool) -> None:
        """Start a run, or continue the one of a training that was killed.

        Parameters
        ----------
        parameters : dict
            The dataset's parameters, nested.
        fingerprint : str
            The same for both parts of a training that was killed and resumed.
        resumes : bool
            Whether this training may have started before.
        """
        self._attempt(lambda: self._start_training(parameters, fingerprint, resumes))

    def log_epochs(self, history: list[dict[str, Any]]) -> None:
        """Log the rows of the history that are not logged yet.

        Parameters
        ----------
        history : list of dict
            All rows so far, as in history.csv.
        """
        self._attempt(lambda: self._log_epochs(history))

    def finish_training(self, folder: Path = Path()) -> None:
        """Log training.json and mark the run as finished; `folder` is the repository's."""
        self._attempt(lambda: self._finish_training(folder))

    def log_evaluation(self, parameters: dict[str, Any], folder: Path = Path()) -> None:
        """Log everything that the training's run lacks; start a run where none was logged.

        Parameters
        ----------
        parameters : dict
            The dataset's parameters, nested.
        folder : Path
            The repository, or a folder with the same files.
        """
        self._attempt(lambda: self._log_evaluation(parameters, folder))

    def export(self, parameters: dict[str, Any], folder: Path) -> str | None:
        """Log the results of a revision, where they are not there yet.

        Parameters
        ----------
        parameters : dict
            The dataset's parameters, nested.
        folder : Path
            A folder with the files of that revision.

        Returns
        -------
        str or None
            Id of the run that was already there.

        Raises
        ------
        UserError
            MLflow failed.
        """
        assert self._where is not None
        try:
            model = folder / Artifacts(self._dataset).models / "model.onnx"
            if run := self._exported(_sha256(model)):
                return run
            self._log_evaluation(parameters, folder)
        except Exception as error:
            raise UserError(
                f"MLflow at {self._where.uri} failed: {_reason(error)}; start the server, or set"
                " MLFLOW_TRACKING_URI to another one, and repeat the command"
            ) from error
        return None

    # ---------------------------------------------------------------- what is logged

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._where is None:
            return
        try:
            action()
        # Each store has errors of its own (HTTP, SQL, object storage), and hours of training
        # are worth more than their log.
        except Exception as error:
            log.warning(
                "MLflow at %s failed, so this run is logged no further: %s. Commit the results"
                " and log them later: python -m tools.export_mlflow %s HEAD",
                self._where.uri,
                _reason(error),
                self._dataset,
            )
            self._where = None

    def _start_training(self, parameters: dict[str, Any], fingerprint: str, resumes: bool) -> None:
        if resumes:
            for run in self._runs(FINGERPRINT_TAG, fingerprint):
                if run.info.status == "RUNNING":
                    self._run = run.info.run_id
                    steps = self._client().get_metric_history(self._run, "val_macro_f1")
                    self._logged_epochs = max((step.step for step in steps), default=0)
                    return
        trained = {key: parameters[key] for key in parameters if key not in ("export", "evaluate")}
        self._run = self._create_run({FINGERPRINT_TAG: fingerprint})
        self._log_parameters(trained)

    def _log_epochs(self, history: list[dict[str, Any]]) -> None:
        from mlflow.entities import Metric

        now = _milliseconds()
        metrics = [
            Metric(name, float(value), now, int(row["epoch"]))
            for row in history[self._logged_epochs :]
            for name, value in row.items()
            if name != "epoch"
        ]
        for start in range(0, len(metrics), _BATCH):
            self._client().log_batch(self._run, metrics=metrics[start : start + _BATCH])
        self._logged_epochs = len(history)

    def _finish_training(self, folder: Path) -> None:
        paths = Artifacts(self._dataset)
        training = json.loads((folder / paths.metrics / "training.json").read_text())
        self._log_metrics({"training": training})
        digest = _sha256(folder / paths.models / "history.csv")
        self._client().set_tag(self._run, HISTORY_TAG, digest)
        self._client().set_terminated(self._run)

    def _log_evaluation(self, parameters: dict[str, Any], folder: Path) -> None:
        import mlflow

        paths = Artifacts(self._dataset)
        history_csv = folder / paths.models / "history.csv"
        model, metrics = folder / paths.models / "model.onnx", folder / paths.metrics
        self._run = self._unevaluated_run(_sha256(history_csv))
        if self._run is None:
            self._run = self._create_run({})
            self._log_parameters(parameters)
            self._log_epochs(pd.read_csv(history_csv).to_dict("records"))
            self._finish_training(folder)
        else:
            self._log_parameters({key: parameters[key] for key in ("export", "evaluate")})
        self._log_metrics(json.loads((metrics / "evaluation.json").read_text()))
        client = self._client()
        for file in sorted(metrics.glob("*.json")):
            client.log_artifact(self._run, str(file), "metrics")
        for file in sorted((metrics / "plots").iterdir()):
            if file.name not in SHOWS_FACES:
                client.log_artifact(self._run, str(file), "plots")
        client.log_artifact(self._run, str(folder / paths.models / "README.md"))
        self._log_model(model)
        # Last, so that a run with this tag is complete.
        client.set_tag(self._run, MODEL_TAG, _sha256(model))
        client.set_terminated(self._run)
        log.info("logged to MLflow: %s, run %s", mlflow.get_tracking_uri(), self._run)

    def _log_model(self, path: Path) -> None:
        """Log the ONNX file as a model of MLflow that `mlflow.pyfunc.load_model` loads."""
        import mlflow
        import onnx
        import onnxruntime
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        model = onnx.load(path)
        inputs, outputs = (
            Schema([TensorSpec(_dtype(value), _shape(value), value.name) for value in values])
            for values in (model.graph.input, model.graph.output)
        )
        signature = ModelSignature(inputs, outputs)
        packages = [f"{package.__name__}=={package.__version__}" for package in (onnx, onnxruntime)]
        mlflow.set_tracking_uri(self._uri())
        with mlflow.start_run(run_id=self._run):
            mlflow.onnx.log_model(
                model, name="model", signature=signature, pip_requirements=packages
            )

    def _log_parameters(self, parameters: dict[str, Any]) -> None:
        from mlflow.entities import Param

        values = [Param(name, str(value)) for name, value in flat(parameters, ".")]
        for start in range(0, len(values), _BATCH):
            self._client().log_batch(self._run, params=values[start : start + _BATCH])

    def _log_metrics(self, metrics: dict[str, Any]) -> None:
        from mlflow.entities import Metric

        now = _milliseconds()
        values = [
            Metric(name, float(value), now, 0)
            for name, value in flat(metrics, "/")
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        for start in range(0, len(values), _BATCH):
            self._client().log_batch(self._run, metrics=values[start : start + _BATCH])

    # ---------------------------------------------------------------- runs

    def _exported(self, model_sha256: str) -> str | None:
        """Id of the run with this revision and this model; None where there is none."""
        assert self._where is not None
        revision = self._where.revision
        for run in self._runs(MODEL_TAG, model_sha256):
            if run.data.tags.get(REVISION_TAG) == revision and self._is_of_this_experiment(run):
                return str(run.info.run_id)
        return None

    def _unevaluated_run(self, history_sha256: str) -> str | None:
        """The latest run of this training, unless it already has another evaluation."""
        for run in self._runs(HISTORY_TAG, history_sha256):
            if MODEL_TAG not in run.data.tags and self._is_of_this_experiment(run):
                return str(run.info.run_id)
        return None

    def _is_of_this_experiment(self, run: Any) -> bool:
        assert self._where is not None
        return run.data.tags.get(EXPERIMENT_TAG) == self._where.experiment

    def _runs(self, tag: str, value: str) -> list[Any]:
        """Runs of this dataset with a tag, the latest first."""
        experiment = self._client().get_experiment_by_name(self._dataset)
        if experiment is None:
            return []
        return list(
            self._client().search_runs(
                [experiment.experiment_id],
                f"tags.{tag} = '{value}'",
                order_by=["attributes.start_time DESC"],
            )
        )

    def _create_run(self, tags: dict[str, str]) -> str:
        import mlflow

        assert self._where is not None
        mlflow.set_tracking_uri(self._uri())
        # Not `create_experiment`: two runs that start together would both create it.
        experiment = mlflow.set_experiment(self._dataset)
        origin = {REVISION_TAG: self._where.revision, EXPERIMENT_TAG: self._where.experiment}
        tags |= {tag: value for tag, value in origin.items() if value}
        name = self._where.experiment or (self._where.revision or "")[:7] or None
        run = self._client().create_run(experiment.experiment_id, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self._uri())

    def _uri(self) -> str:
        assert self._where is not None
        return self._where.uri


def _reason(error: Exception) -> str:
    """The error in one line of at most 200 characters."""
    return f"{' '.join(str(error).split()) or type(error).__name__:.200s}"


def flat(nested: Mapping[str, Any], separator: str) -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries with the joined keys of each; lists are leaves."""
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            for rest, leaf in flat(value, separator):
                yield f"{key}{separator}{rest}", leaf
        else:
            yield str(key), value


def _dtype(value: Any) -> np.dtype:
    import onnx

    return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of an ONNX input or output, −1 where a dimension has a name instead of a size."""
    dimensions = value.type.tensor_type.shape.dim
    return tuple(dimension.dim_value or -1 for dimension in dimensions)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _milliseconds() -> int:
    return int(time.time() * 1000)


def _git_commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
