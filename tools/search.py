"""Search hyperparameters with Optuna: `python -m tools.search DATASET --trials N --study FILE`.

Each trial is a DVC experiment named after the study, `dvc exp run --temp` up to the stage `train`:
it trains on Training and is measured on PublicTest. PrivateTest is never read. A trial whose
macro-F1 after an epoch is below the median of the earlier trials after that epoch is stopped.

The study is an SQLite file. The same command goes on with it: a trial that was killed is stopped,
where its training still runs, and repeated.
"""

import argparse
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil

from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.parameters import load_parameters

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

OVERRIDE = "params/{dataset}.yaml:{key}={value}"
"""A parameter as `dvc exp run --set-param` takes it."""

OPTIMIZER, NETWORK, AUGMENTATION = "train.optimizer", "train.network", "train.augmentation"

WIDTH_FACTORS = (0.5, 0.75, 1.0, 1.5)
"""Multiples of the widths in the dataset's parameters."""

DROPOUT = (0.0, 0.5)
RANGES = {
    "rotation": (0.0, 20.0),
    "shift": (0.0, 6.0),
    "scale": (0.0, 0.3),
    "contrast": (0.0, 0.4),
    "erasing": (0.0, 0.5),
}
"""Key of the augmentation: least and largest value, uniform, as of the dropout. The learning rate
is log-uniform, from a tenth of the dataset's to three times it."""

SECONDS_BETWEEN_LOOKS = 1.0
FAILURES_IN_A_ROW = 3
"""So many failed trials end the search: then the fault is not in one trial's values."""


def main() -> None:
    """Read the command line, search, print the best trial and what to do with it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", help="for instance sample or fer2013")
    parser.add_argument("--trials", type=int, required=True, help="how many more to run")
    parser.add_argument("--study", type=Path, required=True, help="SQLite file, made if absent")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler (default: 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of every trial, for instance train.epochs=5; may be repeated",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        study = open_study(arguments.study, arguments.dataset, arguments.seed)
        search(study, arguments.dataset, arguments.trials, arguments.set)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on with the study")
    print_best(study)


def open_study(path: Path, dataset: str, seed: int) -> "optuna.Study":
    """Open or make the study of a dataset; trials that were killed wait to be run again.

    Raises
    ------
    UserError
        Optuna is absent, the file's name does not suit DVC, or its study is of another dataset.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError(
            "the package optuna is not installed; `make .venv/tracking` installs it"
        ) from None
    if not re.fullmatch(r"[A-Za-z][\w-]*", path.stem):
        raise UserError(
            f"--study {path}: its name begins the experiments' names; use letters, digits, - and _"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{path.resolve()}",
        study_name=path.stem,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )
    # With the same seed again, a study that goes on would draw its first values once more.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True)
    of = study.user_attrs.setdefault("dataset", dataset)
    if of != dataset:
        raise UserError(f"--study {path}: its trials are of dataset {of}; name another file")
    study.set_user_attr("dataset", dataset)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        if not _is_alive(trial.user_attrs.get("process", "")):
            log.info("trial %d was killed; its values are run again", trial.number)
            name = f"{study.study_name}-{trial.number}"
            for process in running_experiments(name):
                stop(process, name)
            remove_experiment(name)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return study


def search(study: "optuna.Study", dataset: str, trials: int, fixed: list[str]) -> None:
    """Run so many trials one after the other.

    Parameters
    ----------
    fixed : list of str
        `KEY=VALUE` of every trial, without the dataset.

    Raises
    ------
    UserError
        Several trials in a row failed.
    """
    import optuna

    failures = 0
    for _ in range(trials):
        trial = study.ask()
        trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
        name = f"{study.study_name}-{trial.number}"
        values = suggest(trial, dataset)
        overrides = fixed + [f"{key}={json.dumps(value)}" for key, value in values.items()]
        log.info("%s: %s", name, ", ".join(overrides))
        try:
            value = train(trial, name, dataset, overrides)
        except optuna.TrialPruned:
            remove_experiment(name)
            log.info("%s: stopped after %d epochs", name, len(intermediate_values(study, trial)))
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except UserError as error:
            failures += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            if failures == FAILURES_IN_A_ROW:
                raise
            log.warning("%s: failed: %s", name, error)
            continue
        else:
            study.tell(trial, value)
            log.info("%s: macro-F1 on PublicTest %.4f", name, value)
        failures = 0


def suggest(trial: "optuna.Trial", dataset: str) -> dict[str, Any]:
    """Draw the trial's parameters; those that the dataset's network does not have are left out."""
    now = load_parameters(dataset).train
    optimizer, network = f"{OPTIMIZER}.{now.optimizer.name}", f"{NETWORK}.{now.network.name}"
    rate = now.optimizer.learning_rate
    values: dict[str, Any] = {
        f"{optimizer}.learning_rate": trial.suggest_float(
            "learning_rate", rate / 10, rate * 3, log=True
        ),
        f"{network}.dropout": trial.suggest_float("dropout", *DROPOUT),
    }
    if widths := getattr(now.network, "widths", None):
        factor = trial.suggest_categorical("width_factor", WIDTH_FACTORS)
        # Even, for the mirror-equivariant networks, and at least 4.
        values[f"{network}.widths"] = [max(4, round(width * factor / 2) * 2) for width in widths]
    for key, (low, high) in RANGES.items():
        values[f"{AUGMENTATION}.{key}"] = trial.suggest_float(key, low, high)
    return {
        key: float(f"{value:.4g}") if isinstance(value, float) else value
        for key, value in values.items()
    }


def train(trial: "optuna.Trial", name: str, dataset: str, overrides: list[str]) -> float:
    """Run one experiment up to `train` and watch its epochs; return macro-F1 on PublicTest.

    Raises
    ------
    optuna.TrialPruned
        The pruner stopped it. It leaves no experiment.
    UserError
        The experiment failed.
    """
    import dvc.api
    import optuna

    command = ["dvc", "exp", "run", "--temp", "--name", name, f"train@{dataset}"]
    for override in overrides:
        key, _, value = override.partition("=")
        command += ["--set-param", OVERRIDE.format(dataset=dataset, key=key, value=value)]
    log_file = Path(".dvc/tmp", f"{name}.log")
    log_file.parent.mkdir(exist_ok=True)
    reported = 0
    with log_file.open("w") as output:
        process = psutil.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            while process.poll() is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                scores = macro_f1_so_far(name, dataset)
                for epoch in range(reported, len(scores)):
                    trial.report(scores[epoch], epoch + 1)
                    reported = epoch + 1
                    if trial.should_prune():
                        log_file.unlink()
                        raise optuna.TrialPruned
        finally:
            stop(process, name)
    if process.returncode != 0:
        errors = [line for line in log_file.read_text().splitlines() if "error:" in line.lower()]
        reason = errors[0] if errors else f"`dvc exp run` ended with {process.returncode}"
        raise UserError(f"{reason} (all of its output: {log_file})")
    log_file.unlink()
    training = json.loads(dvc.api.read(str(Artifacts(dataset).metrics / "training.json"), rev=name))
    return float(training["val_macro_f1"])


def macro_f1_so_far(name: str, dataset: str) -> list[float]:
    """Macro-F1 on PublicTest after each epoch that a running experiment has finished."""
    folder = running_folder(name)
    if folder is None:
        return []
    # Until `train` begins, the file there is the committed one of another training.
    history = folder / Artifacts(dataset).models / "history.csv"
    if not (folder / Artifacts(dataset).models / ".resume.npz").exists():
        return []
    try:
        return list(pd.read_csv(history)["val_macro_f1"])
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return []


def running_folder(name: str) -> Path | None:
    """The temporary folder in which DVC runs an experiment; None before and after."""
    for file in Path(".dvc/tmp/exps/run").glob("*/*.run"):
        try:
            info = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            continue
        if info.get("name") == name and Path(info["root_dir"]).is_dir():
            return Path(info["root_dir"])
    return None


def running_experiments(name: str) -> list[psutil.Process]:
    """The `dvc exp run` of this repository that run an experiment.

    DVC changes into the experiment's temporary folder before it runs the stages.
    """
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if {"exp", "run", name} <= set(process.info["cmdline"] or [])
        and Path(process.info["cwd"] or "/").is_relative_to(Path.cwd())
    ]


def stop(process: psutil.Process, name: str) -> None:
    """Interrupt `dvc exp run` and its training where they still run, and remove their folder."""
    if process.is_running():
        folder = running_folder(name)
        # It has a session, and so a process group, of its own.
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        except psutil.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def remove_experiment(name: str) -> None:
    """Remove an experiment that ended before it could be stopped."""
    reference = ["git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}"]
    if subprocess.run(reference, check=True, stdout=subprocess.PIPE).stdout:
        subprocess.run(["dvc", "exp", "remove", "--quiet", name], check=True)


def intermediate_values(study: "optuna.Study", trial: "optuna.Trial") -> dict[int, float]:
    """What a trial reported, by epoch."""
    return dict(study.trials[trial.number].intermediate_values)


def print_best(study: "optuna.Study") -> None:
    """Print the best trial and the commands that take it over."""
    import optuna

    if not study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
        print("no trial has finished yet")
        return
    best, dataset = study.best_trial, study.user_attrs["dataset"]
    name = f"{study.study_name}-{best.number}"
    print(f"best of {len(study.trials)} trials: {name}, macro-F1 on PublicTest {best.value:.4f}")
    for key, value in best.params.items():
        print(f"  {key}: {value:.4g}")
    print(f"take it over: dvc exp apply {name} && dvc repro evaluate@{dataset}")


def _is_alive(process: str) -> bool:
    """Whether `HOST:PID` runs; on another host it counts as running."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname():
        return bool(host)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
