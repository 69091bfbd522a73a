"""Describe what a dataset is read from: `python -m stages.source DATASET`.

Writes data/D/source.json: names, sizes and times of the files, not their content. DVC runs this
stage in every `dvc repro`. `fetch` depends on the description, so it runs again where files, or the
environment variables FER2013_CSV and FERPLUS_CSV, have changed.
"""

import os

from stages.artifacts import Artifacts, write_metrics
from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before anything is logged, as in the other stages

from stages.dataset.source_description import describe, source_of
from stages.parameters import Parameters


def main(dataset: str, parameters: Parameters) -> None:
    """Write the dataset's source.json."""
    source = source_of(dataset, parameters.fetch, os.environ)
    write_metrics(Artifacts(dataset).data / "source.json", describe(source))


if __name__ == "__main__":
    run(main, "Look at the files that a dataset is read from.")
