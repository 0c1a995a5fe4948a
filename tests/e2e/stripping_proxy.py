"""A reverse proxy that shows a page below a path, as nginx's `location /path/` does."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Handler(BaseHTTPRequestHandler):
    """Hands requests below `path` on without it, and answers 404 to all others."""

    path_shown = ""
    behind = ""

    def forward(self) -> None:
        if not self.path.startswith(f"{self.path_shown}/"):
            # A browser looks for a site's icon by itself.
            self.send_response(204 if self.path == "/favicon.ico" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name != "Connection"}
        connection = http.client.HTTPConnection(self.behind, timeout=120)
        with suppress(OSError, http.client.HTTPException):  # who leaves, and pages that stop
            connection.request(self.command, self.path.removeprefix(self.path_shown), body, headers)
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while data := response.read1(65536):
                self.wfile.write(data)
                self.wfile.flush()
        connection.close()
        self.close_connection = True

    do_GET = do_POST = do_HEAD = forward

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def stripping(path: str, url: str) -> Iterator[str]:
    """Give the address at which the page at `url` is shown below `path`."""
    fields = {"path_shown": path, "behind": urlsplit(url).netloc}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), fields)) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{path}"
        finally:
            proxy.shutdown()
            thread.join()
