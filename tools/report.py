"""Print the metrics of the datasets in params.yaml, as `make repro` does at its end.

python -m tools.report
"""

import sys
from pathlib import Path

import yaml

from stages.artifacts import Artifacts
from stages.errors import UserError
from tools.readme_tables import metrics_table


def main() -> None:
    """Print a table per dataset."""
    for dataset in yaml.safe_load(Path("params.yaml").read_text())["datasets"]:
        try:
            print(f"\n{metrics_table(dataset)}\n\nmodel: {Artifacts(dataset).models}/model.onnx")
        except UserError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
