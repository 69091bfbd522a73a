"""Balance the emotions of the Training split: `python -m stages.balance DATASET`.

Reads `data/D/faces.npz`; writes `data/D/train.npz`, `metrics/D/balance.json` and, under
`metrics/D/plots/`, `balance.png` and `contact_sheet.png`.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import logging

from joblib import parallel_config

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts, write_metrics
from stages.balancing.contact_sheet import contact_sheet
from stages.balancing.report import balance_chart, balance_metrics
from stages.balancing.strategies import balance, counts_per_emotion
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.parameters import Parameters

log = logging.getLogger(__name__)


def main(dataset: str, parameters: Parameters) -> None:
    """Balance one dataset's Training split."""
    files = Artifacts(dataset)
    path, how = files.data / "faces.npz", parameters.balance
    faces = Faces.read(path).of_split("Training")
    if not len(faces.labels):
        raise UserError(
            f"{path}: no face of split Training; check the dataset that the fetch stage wrote"
        )
    log.info("balance: %d faces, strategy %s", len(faces.labels), how.strategy)
    # Workers on all cores.
    with parallel_config(n_jobs=-1):
        balanced = balance(faces, how)

    balanced.write(files.data / "train.npz")
    metrics = balance_metrics(counts_per_emotion(faces), counts_per_emotion(balanced))
    write_metrics(files.metrics / "balance.json", metrics)
    with written_atomically(files.plots / "balance.png") as temporary:
        balance_chart(metrics).savefig(temporary, dpi=120)
    with written_atomically(files.plots / "contact_sheet.png") as temporary:
        contact_sheet(balanced).savefig(temporary)
    log.info(
        "balance: %d faces added, %d removed; smallest over largest class %.3f -> %.3f",
        metrics["added"],
        metrics["removed"],
        metrics["ratio_before"],
        metrics["ratio_after"],
    )


if __name__ == "__main__":
    run(main, "Balance the emotions of a dataset's Training split.")
