"""A stage in a process of its own that dies of SIGKILL when the state of an epoch is saved."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DYING = """
import os, runpy, signal, sys
from stages.training import checkpoint

save = checkpoint.save
stage, name, epoch = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))

def save_and_die(path, key, state):
    save(path, key, state)
    if path.name.startswith(name) and len(state.history) == epoch:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save_and_die
runpy.run_module(stage, run_name="__main__", alter_sys=True)
"""


def killed(folder: Path, stage: str, resume: str, epoch: int) -> None:
    """Run `python -m STAGE tiny` in `folder`, killed once a file holds the state of an epoch.

    Parameters
    ----------
    folder : Path
        It holds params/tiny.yaml and the stage's inputs.
    stage : str
        Module of the stage.
    resume : str
        What the name of the file begins with.
    epoch : int
        From 1 on.
    """
    done = subprocess.run(
        [sys.executable, "-c", DYING, stage, resume, str(epoch), "tiny"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
