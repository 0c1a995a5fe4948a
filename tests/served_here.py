"""A server of this process on 127.0.0.1, in a thread, for as long as a test needs it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

# For a client without a network: a server is not known by the name that it would send itself.
HERE = "http://127.0.0.1"


@contextmanager
def served_here(app: ASGIApp, **options: Any) -> Iterator[int]:
    """Serve an application on a free port; yields the port.

    Args:
        app: what is served.
        options: of `uvicorn.Config`.
    """
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
