"""Start the server: `python -m api`, with every option of uvicorn's, for instance `--port 9000`."""

import sys

import uvicorn
from uvicorn.main import main

from api.build import VERSION
from api.settings import load_settings

OPTIONS = (
    *("--http", "api.middleware.connections:HttpConnection"),
    *("--ws", "api.middleware.connections:StreamConnection"),
    # A frame is compressed already.
    *("--ws-per-message-deflate", "false"),
)

if __name__ == "__main__":
    if "--version" in sys.argv[1:]:
        print(f"facial-expression-recognition {VERSION} (uvicorn {uvicorn.__version__})")
        sys.exit()
    # With several workers, uvicorn would start each again and again that ends with this error.
    load_settings()
    main(["api.app:app", *OPTIONS, *sys.argv[1:]], prog_name="python -m api")
