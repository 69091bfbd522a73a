"""Whether the committed results belong to the committed code: `make check-release`.

pytest does not collect this file by itself: in a fork that changes code, results are of other code.
"""

import re

from tests.pipeline.conftest import ran


def test_committed_results_belong_to_committed_code_and_parameters(committed):
    path = committed.folder / "params.yaml"
    text = path.read_text()
    every = "datasets: [sample, fer2013, fer2013-small, ferplus]"
    path.write_text(re.sub(r"^datasets:.*$", every, text, flags=re.M))
    try:
        log = committed.run("dvc repro --allow-missing --dry")
    finally:
        path.write_text(text)
    assert log.count("didn't change") + log.count("skipping") == 24, log
    assert ran(log) == set(), log
