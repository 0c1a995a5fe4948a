"""Serving the page and the API on one port until the process is told to stop.

app = mounted(served, page, settings, uploads)  # by build_api, build_page and own_uploads
serve(app, host, port, finish)                  # until Ctrl-C
"""

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from app.api.application import Served
from app.errors import PortInUse
from app.machine.port import check_port
from app.settings import Settings
from app.web.look import STYLES
from app.web.serving.bodies import BoundedBodies
from app.web.serving.connections import (
    BACKLOG,
    ImpatientProtocol,
    OutOfHandles,
    most_connections,
)
from app.web.serving.own_pages import OwnPages
from corpus.pictures.images import MAX_IMAGE_BYTES

_LOGIN = "The user name is yours to choose; the password is one of the server's keys."
_LEAVE_SECONDS = 3
_HERE = {"0.0.0.0": "localhost", "": "localhost"}


def mounted(served: Served, page: gr.Blocks, settings: Settings, uploads: Path) -> FastAPI:
    """Return the application of the API with the page behind it, at every other address.

    Args:
        served: by `build_api`; where it has keys, the page asks for one of them as a password.
        page: by `build_page`, of the pipeline of `served`.
        settings: say where a proxy shows the page.
        uploads: the folder of `own_uploads`.
    """

    def may_enter(name: str, key: str) -> bool:
        return served.keys.number(key) is not None

    gr.mount_gradio_app(
        served.app,
        page,
        "/",
        auth=may_enter if served.keys else None,
        auth_message=_LOGIN,
        root_path=settings.root_path,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=MAX_IMAGE_BYTES,
        theme=_theme(),
        app_kwargs={
            "middleware": [Middleware(OwnPages), Middleware(BoundedBodies, uploads=uploads)]
        },
        css_paths=list(STYLES),
    )
    return served.app


def serve(
    app: FastAPI, host: str, port: int, finish: Callable[[threading.Event], object] | None = None
) -> None:
    """Serve an application until the process is told to stop (Ctrl-C or SIGTERM).

    Args:
        app: by `mounted`.
        host: the address.
        port: its port.
        finish: called before the server closes, while it still serves; its event is set where the
            process is told a second time.

    Raises:
        PortInUse, InvalidSettings: see check_port.
    """
    check_port(host, port)
    stop, hurry = threading.Event(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: hurry.set() if stop.is_set() else stop.set())
    config = uvicorn.Config(
        app,
        host=host.strip("[]"),
        port=port,
        http=ImpatientProtocol,
        backlog=BACKLOG,
        limit_concurrency=most_connections(),
        log_level="warning",
        log_config=None,
    )
    logging.getLogger("asyncio").addFilter(OutOfHandles())
    server = uvicorn.Server(config)
    # In a thread: uvicorn's own handling of signals would end the process by the signal.
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        stop.wait(0.01)
    if not server.started:
        raise PortInUse(f"{host}, port {port}, was taken meanwhile: start it again")
    shown = f"[{host.strip('[]')}]" if ":" in host else _HERE.get(host, host)
    print(f"kbvqa is at http://{shown}:{port}/ (Ctrl-C stops it)", flush=True)
    while thread.is_alive() and not stop.wait(0.5):
        pass
    if finish is not None:
        finish(hurry)
    server.should_exit = True
    thread.join(timeout=_LEAVE_SECONDS)  # open pages never leave by themselves


def _theme() -> gr.themes.Base:
    """Return the theme: fonts of the reader's own system, so that none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
