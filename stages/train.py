"""Train the network on the balanced faces: `python -m stages.train DATASET`.

Reads train.npz, the PublicTest split of faces.npz, the teachers that `train.distillation` names and
the weights that `train.init` names; writes model.keras (the best epoch's weights), history.csv (one
row per epoch) and training.json. A killed run resumes after its last finished epoch. After each
epoch it writes history.csv for `dvc plots show` and, until it ends, metrics/.live/DATASET.json for
`dvc exp show`.

With MLFLOW_TRACKING_URI set, the run and its epochs are logged to MLflow.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import os
from pathlib import Path

import pandas as pd

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts, write_metrics
from stages.parameters import Parameters
from stages.tracking import Tracker, destination
from stages.training.checkpoint import State
from stages.training.data import TrainingData, read_training_data
from stages.training.keras_archive import save_network
from stages.training.trainer import (
    best_epoch,
    make_repeatable,
    run_fingerprint,
    train_resumably,
)


def main(dataset: str, settings: Parameters) -> None:
    """Read the faces, train or resume training, write the model and its history."""
    make_repeatable()
    files = Artifacts(dataset)
    data = read_training_data(files, settings.train)
    resume, history_csv = files.models / ".resume.npz", files.models / "history.csv"
    fingerprint = run_fingerprint(data, settings.train)
    tracker = Tracker(dataset, destination(os.environ))
    tracker.start_training(
        settings.model_dump(mode="json", by_alias=True),
        fingerprint,
        resumes=resume.exists(),
    )

    def record(state: State) -> None:
        _write_history(history_csv, pd.DataFrame(state.history))
        last = state.history[-1]
        write_metrics(files.live, {name: last[name] for name in ("epoch", "val_macro_f1")})
        tracker.log_epochs(state.history)

    try:
        network, history = train_resumably(data, settings.train, resume, fingerprint, record)
    finally:
        files.live.unlink(missing_ok=True)
    save_network(network, files.models / "model.keras")
    _write_history(history_csv, history)
    best = history.iloc[best_epoch(history.to_dict("records"), settings.train.selection.monitor)]
    write_metrics(
        files.metrics / "training.json",
        {
            "epochs": len(history),
            "best_epoch": int(best["epoch"]),
            "images": len(data.images),
            "parameters": network.count_params(),
            **_initial_weights(data),
            **{
                name: float(best[name])
                for name in ("loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1")
            },
        },
    )
    resume.unlink(missing_ok=True)
    tracker.log_epochs(history.to_dict("records"))
    tracker.finish_training()


def _initial_weights(data: TrainingData) -> dict[str, dict[str, str]]:
    """The file that the training started from."""
    if data.initial_weights is None:
        return {}
    file, sha256 = data.initial_weights.file, data.initial_weights.sha256
    return {"initial_weights": {"file": file.as_posix(), "sha256": sha256}}


def _write_history(path: Path, history: pd.DataFrame) -> None:
    with written_atomically(path) as temporary:
        history.round(5).to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main, "Train the network on the balanced faces.")
