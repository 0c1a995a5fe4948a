"""A Hugging Face hub with one dataset, over HTTP: what `kbvqa data get` talks to.

It answers the three requests a download makes: the list of files, a HEAD and a (ranged) GET.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class Hub:
    """The files of the dataset, and what was asked for.

    Attributes:
        files: {path: content}.
        cut_after: send only so many bytes of a larger file, once.
        damage: send other bytes than the stated hash is of.
        ranges: the Range header of every GET of a file.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cut_after: int | None = None
        self.damage = False
        self.ranges: list[str | None] = []
        self.url = ""

    def tree(self) -> list[dict[str, object]]:
        return [
            {
                "type": "file",
                "path": path,
                "size": len(data),
                "oid": "0" * 40,
                "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 130},
            }
            for path, data in self.files.items()
        ]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free local port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._file(body=False)

        def do_GET(self) -> None:
            if "/tree/" in self.path:
                body = json.dumps(hub.tree()).encode()
                self._start(200, len(body), {"Content-Type": "application/json"})
                self.wfile.write(body)
            else:
                self._file(body=True)

        def _file(self, *, body: bool) -> None:
            name = unquote(urlsplit(self.path).path).partition("/resolve/")[2].partition("/")[2]
            data = hub.files.get(name)
            if data is None:
                self._start(404, 0, {"X-Error-Code": "EntryNotFound"})
                return
            headers = {
                "X-Repo-Commit": COMMIT,
                "ETag": f'"{sha256(data)}"',
                "X-Linked-Etag": f'"{sha256(data)}"',
                "X-Linked-Size": str(len(data)),
                "Accept-Ranges": "bytes",
            }
            begin = 0
            if body:
                wanted = self.headers.get("Range")
                hub.ranges.append(wanted)
                if wanted:
                    begin = int(wanted.removeprefix("bytes=").partition("-")[0])
                    headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            rest = data[begin:]
            if body and hub.damage:
                rest = bytes(len(rest))
            self._start(206 if begin else 200, len(rest), headers)
            if body:
                if hub.cut_after is not None and len(rest) > hub.cut_after:
                    rest, hub.cut_after = rest[: hub.cut_after], None
                    self.close_connection = True
                self.wfile.write(rest)

        def _start(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
