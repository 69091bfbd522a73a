"""The researcher's story of docs/experiments.md: a grid in DVC's queue, with tiny networks."""

import dataclasses
import json
import shutil
import time

from tools.search import OVERRIDE

GRID = {
    "train.optimizer.name": "sgd,adam,adamw,rmsprop",
    "balance.strategy": "none,augment",
    "train.epochs": "1",
    "train.network.widths": "[4,8]",
}


def queue(repository, jobs: int) -> dict[str, dict]:
    """Run the grid up to `train`; the files of each experiment by its name."""
    overrides = " ".join(
        f"--set-param '{OVERRIDE.format(dataset='sample', key=key, value=value)}'"
        for key, value in GRID.items()
    )
    repository.run(f"dvc exp run --queue --name grid {overrides} train@sample")
    repository.run(f"dvc queue start --jobs {jobs}")
    for _ in range(600):
        status = repository.run("dvc queue status")
        if not any(word in status for word in ("Queued", "Running")):
            break
        time.sleep(1)
    assert status.count("Success") == 8, status
    references = repository.run("git for-each-ref --format='%(refname)' 'refs/exps/*/*/grid-*'")
    files = ("metrics/sample/training.json", "models/sample/history.csv", "dvc.lock")
    return {
        name.rpartition("/")[2]: {file: repository.run(f"git show {name}:{file}") for file in files}
        for name in references.split()
    }


def test_a_grid_gives_the_same_bytes_in_parallel_as_one_after_the_other(built, tmp_path):
    results = []
    for jobs in (1, 2):
        # A cache of its own, where the other grid's results cannot come from.
        folder = tmp_path / f"jobs-{jobs}"
        shutil.copytree(built.folder, folder, symlinks=True)
        repository = dataclasses.replace(built, folder=folder)
        results.append(queue(repository, jobs))
    serial, parallel = results
    assert len(serial) == 8
    # dvc.lock holds the digests of model.keras and train.npz.
    assert parallel == serial
    scores = {
        name: json.loads(files["metrics/sample/training.json"])["val_macro_f1"]
        for name, files in parallel.items()
    }
    assert len(set(scores.values())) > 1

    best = max(scores, key=lambda name: scores[name])
    repository.run(f"dvc exp apply {best}")
    applied = json.loads((folder / "metrics/sample/training.json").read_text())
    assert applied["val_macro_f1"] == scores[best]
    repository.run("dvc repro evaluate@sample")
    assert "macro_f1" in repository.run("dvc metrics diff main")
    repository.run(f"dvc exp branch {best} better")
    assert "better" in repository.run("git branch --list better")
