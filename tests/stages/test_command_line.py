"""The command line of the stages, in a process of its own."""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

STAGE = r"""
import logging
import sys

from stages.errors import UserError
from stages.command_line import run


def main(dataset, parameters):
    logging.getLogger(__name__).info("epochs %d", parameters.train.epochs)
    logging.getLogger("stages.dataset.sources").info("from the sample")
    logging.getLogger("a_library").info("of no interest")
    logging.getLogger("a_library").warning("take care")
    if dataset == "fer2013":
        raise UserError("data/fer2013/raw.csv, row 3: expected 2304 pixels, found 7; mend it")
    if parameters.evaluate.seed == 2:
        logging.getLogger(__name__).info("a\x1b[2Jb\nc")
        raise UserError("a\x1b[2Jb\nc")
    if parameters.evaluate.seed == 3:
        with open("small", "wb") as file:
            file.write(bytes(1000))
    if parameters.evaluate.seed == 4:
        bytes(1 << 60)
    if parameters.evaluate.seed == 1:
        raise KeyError("a bug")


run(main, "A stage of its own.")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        # With -B, a limit of the files' size leaves no cut-off .pyc file of an installed package.
        [sys.executable, "-B", "stage.py", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def change(folder: Path, section: str, key: str, value) -> None:
    path = folder / "params/sample.yaml"
    document = yaml.safe_load(path.read_text())
    document[section][key] = value
    path.write_text(yaml.safe_dump(document))


def test_a_stage_gets_its_parameters_and_logs_its_own_lines(folder):
    change(folder, "train", "epochs", 77)
    done = run(folder, "sample")
    assert done.returncode == 0
    assert done.stderr == "A stage of its own.\nepochs 77\nfrom the sample\ntake care\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [("7.4", "7 seconds"), ("99.4", "99 seconds"), ("6290.0", "105 minutes")]
)
def test_the_first_line_states_the_usual_time(folder, seconds, words):
    page = folder / "benchmarks" / "stage_costs_sample.csv"
    page.parent.mkdir()
    page.write_text(
        'stage,wall_seconds,machine\ntrain,1,"A, 2 cores, much memory"\n'
        f'stage,{seconds},"B, 4 cores, more memory"\n'
    )
    first = run(folder, "sample").stderr.splitlines()[0]
    time = f"Usual time: {words} on B, 4 cores (benchmarks/stage_costs_sample.md)."
    assert first == f"A stage of its own. {time}"


def test_a_mistake_is_one_line_and_exit_status_1(folder):
    done = run(folder, "fer2013")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: data/fer2013/raw.csv, row 3: expected 2304 pixels, found 7; mend it"
    )
    assert "Traceback" not in done.stderr


def test_a_mistake_in_a_parameter_file_is_one_line_and_exit_status_1(folder):
    change(folder, "train", "epoch", 3)
    done = run(folder, "sample")
    assert done.returncode == 1
    text = (folder / "params/sample.yaml").read_text()
    (line,) = (n for n, row in enumerate(text.splitlines(), start=1) if row == "  epoch: 3")
    what = "train.epoch: unknown key, did you mean 'epochs'?"
    error = f"error: params/sample.yaml:{line}: {what}\n"
    assert done.stderr == f"A stage of its own.\n{error}"


def test_no_text_controls_the_terminal(folder):
    change(folder, "evaluate", "seed", 2)
    done = run(folder, "sample")
    assert done.stderr.splitlines()[-2:] == [r"a\x1b[2Jb\nc", r"error: a\x1b[2Jb\nc"]
    assert done.returncode == 1


def test_a_full_disk_is_one_line(folder):
    change(folder, "evaluate", "seed", 3)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        done = run(folder, "sample")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.stderr.splitlines()[-1] == "error: a file: File too large; free some space"
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_a_lack_of_memory_is_one_line(folder):
    change(folder, "evaluate", "seed", 4)
    done = run(folder, "sample")
    assert done.stderr.splitlines()[-1].startswith("error: memory ran out")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@pytest.mark.parametrize(
    "name",
    ["x; touch PWNED", "x'; touch PWNED; '", "x\ny", "$(touch PWNED)", "../x", "..", "-x", "X", ""],
)
@pytest.mark.parametrize("form", ["{}", "--dataset={}"])
def test_a_name_that_is_none_is_refused_before_anything_else(folder, name, form):
    if "/" not in name:
        shutil.copy(folder / "params/sample.yaml", folder / "params" / f"{name}.yaml")
    done = run(folder, "--", name) if form == "{}" else run(folder, form.format(name))
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*: no name of a dataset; expected .*\n", done.stderr)
    assert not (folder / "PWNED").exists()


def test_a_name_may_be_given_as_an_option_which_dvc_quotes(folder):
    assert run(folder, "--dataset", "sample").stderr == run(folder, "sample").stderr
    assert run(folder, "sample", "--dataset", "sample").returncode == 2


def test_a_bug_keeps_its_traceback(folder):
    change(folder, "evaluate", "seed", 1)
    done = run(folder, "sample")
    assert done.returncode == 1
    assert done.stderr.startswith("A stage of its own.\nepochs")
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("KeyError: 'a bug'\n")


def test_a_dataset_must_be_named(folder):
    done = run(folder)
    assert done.returncode == 2
    assert "one of the arguments dataset --dataset is required" in done.stderr
    assert "A stage of its own." in run(folder, "--help").stdout


def test_importing_tensorflow_writes_nothing_of_its_own():
    program = """
import sys, numpy, stages, keras
print("before", file=sys.stderr)
network = keras.Sequential([keras.layers.Dense(2)])
network.compile("sgd", "mse")
network.fit(numpy.ones((2, 2)), numpy.ones((2, 2)), verbose=0)
print("after", file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "before\nafter\n"


def test_an_error_of_tensorflow_stays_even_when_the_process_is_aborted():
    program = """
import os
from stages.tensorflow_notes import without_notes
with without_notes():
    os.write(2, b"I0000 00:00:1.0 1 port.cc:153] a note\\n")
    os.write(2, b"F0000 00:00:1.0 1 port.cc:153] this processor lacks AVX\\n")
    os.abort()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode < 0
    assert done.stderr == "F0000 00:00:1.0 1 port.cc:153] this processor lacks AVX\n"


def test_a_failing_stage_loses_no_committed_file(folder):
    for name in ("metrics/sample/training.json", "models/sample/history.csv", "metrics/other.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("committed")
    change(folder, "evaluate", "seed", 1)
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "all"]):
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    shutil.rmtree(folder / "metrics")
    shutil.rmtree(folder / "models")
    (folder / "metrics/sample").mkdir(parents=True)
    (folder / "metrics/sample/new.json").write_text("new")
    done = run(folder, "sample")
    assert "KeyError: 'a bug'" in done.stderr
    assert (folder / "metrics/sample/training.json").read_text() == "committed"
    assert (folder / "models/sample/history.csv").read_text() == "committed"
    assert (folder / "metrics/sample/new.json").read_text() == "new"
    assert not (folder / "metrics/other.json").exists()
    assert "restored as committed: metrics/sample/training.json" in done.stderr
