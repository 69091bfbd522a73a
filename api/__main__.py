"""Start the server: `python -m api`, with every option of uvicorn's, for instance `--port 9000`."""

import sys

from uvicorn.main import main

OPTIONS = (
    *("--http", "api.connections:HttpConnection"),
    *("--ws", "api.connections:StreamConnection"),
    # A frame is compressed already.
    *("--ws-per-message-deflate", "false"),
)

if __name__ == "__main__":
    main(["api.app:app", *OPTIONS, *sys.argv[1:]], prog_name="python -m api")
