"""Start the server: `python -m api`, with any option of uvicorn, for example `--port 9000`."""

import errno
import os
import socket
import sys
from typing import Any

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


def uvicorn_options(arguments: list[str]) -> dict[str, Any]:
    """What uvicorn reads from its options and environment variables, by name."""
    return main.make_context(PROGRAM, list(arguments), resilient_parsing=True).params


def has_workers(options: dict[str, Any]) -> bool:
    """Whether uvicorn will start worker processes."""
    workers = options["workers"] or os.environ.get("WEB_CONCURRENCY", 1)
    return str(workers) != "1"


def address_problem(options: dict[str, Any]) -> str | None:
    """Why the server cannot listen, or None.

    uvicorn finds out after all models are loaded, and names no remedy. It names a port that is no
    number itself: that is None here.
    """
    host, port = options["host"], options["port"]
    if options["uds"] or options["fd"] is not None or port is None:
        return None
    if not 0 <= port <= 65_535:
        return f"port {port}: expected 0 to 65535"
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return (
                f"port {port} of {host} is in use; choose another one with --port or UVICORN_PORT"
            )
        return f"cannot listen on port {port} of {host}: {error.strerror}; see --host and --port"
    return None


if __name__ == "__main__":
    if "--version" in sys.argv[1:]:
        print(f"facial-expression-recognition {VERSION} (uvicorn {uvicorn.__version__})")
        sys.exit()
    # uvicorn restarts a worker that exits. Without this check, several workers would fail with the
    # same invalid setting again and again.
    settings = load_settings()
    command = ["api.app:app", *OPTIONS, *sys.argv[1:]]
    options = uvicorn_options(command)
    if "--help" not in command and (problem := address_problem(options)):
        sys.exit(f"error: {problem}")
    if has_workers(options):
        os.environ[VARIABLE] = MainProcess(settings).listen()
    main(command, prog_name=PROGRAM)
