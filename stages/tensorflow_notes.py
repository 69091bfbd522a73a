"""Import TensorFlow without the notes that its C++ code writes to standard error.

TF_CPP_MIN_LOG_LEVEL does not hide them: TensorFlow 2.21 writes them before it reads the variable.
Errors stay. One is left out where the machine has no NVIDIA GPU: that CUDA can't be initialized.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

NOTES = r"^WARNING: All log messages before absl::|^[IW][0-9]{4} |^[-0-9]+ [.:0-9]+: [IW] "
CUDA_ERROR = r"failed call to cuInit"
NVIDIA_DRIVER = Path("/dev/nvidiactl")


class QuietTensorFlow:
    """The finder for `sys.meta_path` that imports `tensorflow` without its notes."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """Find `tensorflow`; leave every other module to the other finders."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _QuietLoader(spec.loader.name, spec.loader.path)
        return spec


class _QuietLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with without_notes():
            super().exec_module(module)
            # Initializes CUDA here; its error would otherwise come at the first use of Keras.
            module.config.list_physical_devices()


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
    """Filter the file descriptor of standard error, which C++ writes to as well."""
    if shutil.which("grep") is None:  # The notes are then written.
        yield
        return
    pattern = NOTES if NVIDIA_DRIVER.exists() else f"{NOTES}|{CUDA_ERROR}"
    sys.stderr.flush()
    stderr = os.dup(2)
    # A separate process delivers the last lines even if this one is aborted.
    grep = ["grep", "--line-buffered", "-vE", pattern]
    try:
        with subprocess.Popen(grep, stdin=subprocess.PIPE, stdout=stderr) as filtering:
            assert filtering.stdin is not None
            os.dup2(filtering.stdin.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(stderr, 2)
                filtering.stdin.close()
    finally:
        os.close(stderr)
