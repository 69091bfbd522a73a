"""Start the server: `python -m api`, with any option of uvicorn, for example `--port 9000`."""

import os
import sys

from recognizer.optional_packages import needs_package

if sys.version_info < (3, 11):  # noqa: UP036  the wheel may be installed with 3.10
    sys.exit(f"error: the server needs Python 3.11 or later, not {sys.version.split()[0]}")
try:
    import uvicorn
    from uvicorn.main import main

    from api.build import VERSION
    from api.models.workers import VARIABLE, MainProcess
    from api.settings import load_settings
except ModuleNotFoundError as missing:
    sys.exit(f"error: {needs_package('the server', missing, 'server')}")

OPTIONS = (
    *("--http", "api.middleware.connections:HttpConnection"),
    *("--ws", "api.middleware.connections:StreamConnection"),
    # Frames are compressed image files.
    *("--ws-per-message-deflate", "false"),
)

PROGRAM = "python -m api"


def has_workers(arguments: list[str]) -> bool:
    """Whether uvicorn will start worker processes, by its options and environment variables."""
    context = main.make_context(PROGRAM, list(arguments), resilient_parsing=True)
    workers = context.params.get("workers") or os.environ.get("WEB_CONCURRENCY", 1)
    return str(workers) != "1"


if __name__ == "__main__":
    if "--version" in sys.argv[1:]:
        print(f"facial-expression-recognition {VERSION} (uvicorn {uvicorn.__version__})")
        sys.exit()
    # uvicorn restarts a worker that exits. Without this check, several workers would fail with the
    # same invalid setting again and again.
    settings = load_settings()
    command = ["api.app:app", *OPTIONS, *sys.argv[1:]]
    if has_workers(command):
        os.environ[VARIABLE] = MainProcess(settings).listen()
    main(command, prog_name=PROGRAM)
