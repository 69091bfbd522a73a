"""The names of the benchmarks' modules."""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_benchmark_has_the_name_of_a_room_or_of_an_installed_package():
    names = {path.stem for path in (ROOT / "benchmarks").rglob("*.py")} - {"__init__"}
    assert len(names) > 10
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert names & (rooms | set(packages_distributions()) | set(sys.stdlib_module_names)) == set()
