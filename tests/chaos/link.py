"""A wire between two processes, on loopback, that can be cut, slowed, blocked and soiled.

link = Link(target_port)
link.become("slow")
link.become("whole")
"""

import random
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

# whole    every byte passes
# slow     every piece waits a while
# trickle  an answer comes in crumbs: always soon something, and never the whole
# silent   nothing passes, and nobody is told: connections of that time stay dead for ever
# refused  nobody listens, and whoever was connected is reset
# cut      the answer ends in the middle, by a reset
# garbage  something else answers, that speaks another protocol, or half of this one
Mode = Literal["whole", "slow", "trickle", "silent", "refused", "cut", "garbage"]

_SLOW_SECONDS = 0.4
_CRUMB_SECONDS = 0.1
_PIECE = 1 << 16


def _http(
    body: bytes, kind: str = "application/json", status: str = "200 OK", more: int = 0
) -> bytes:
    """Return an answer; `more` is by how much it says that it is longer than it is."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body) + more}"
    return head.encode() + b"\r\n\r\n" + body


GARBAGE = (
    b"\x16\x03\x01\x00\x02\x02\x28",  # TLS, where none is spoken
    b"SSH-2.0-OpenSSH_9.2\r\n",
    _http(b"<html><title>Please log in</title></html>", "text/html"),
    _http(b"<html><h1>502 Bad Gateway</h1></html>", "text/html", "502 Bad Gateway"),
    *(
        _http(body)
        for body in (
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"result": null, "status": "ok", "time": 0.0}',
            b'{"result": [], "status": "ok", "time": 0.0}',
            b'{"result": {}, "status": "ok", "time": 0.0}',
            b'{"result": [{"points": [{"id": "x"}]}], "status": "ok", "time": 0.0}',
            b'{"result": [{"points": [{"id": "6f1f2a3e-0000-4000-8000-000000000000", "version": 0, '
            b'"score": 1.0, "payload": {}}]}], "status": "ok", "time": 0.0}',
            b'{"result": [{"points": [{"id": "6f1f2a3e-00',
            b'{"choices": []}',
            b'{"choices": [{"message": {"content": null}}]}',
            b'{"choices": [{"delta": {"content": "Par',
        )
    ),
    _http(b'{"result": [', more=50),
    _http(
        b'data: {"choices": [{"index": 0, "delta": {"content": "Wro', "text/event-stream", more=90
    ),
    _http(b'data: {"choices": [{"index": 0, "delta": {"content": 7}}]}\n\n', "text/event-stream"),
    _http(b"data: [DONE]\n\n", "text/event-stream"),
)


class Link:
    """Listens on a port of its own, and passes on what comes to another port of this machine.

    Args:
        target: the port; may be changed while it runs.
        seed: of what is random in it.

    Attributes:
        garbage: what of it is answered, one at random.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target, self._chance = target, random.Random(seed)
        self.garbage: Sequence[bytes] = GARBAGE
        self._mode: Mode = "whole"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def become(self, mode: Mode) -> None:
        """Be so from now on."""
        before, self._mode = self._mode, mode
        if mode == "refused" and before != "refused":
            # A thread that waits in accept() keeps a closed socket listening: it is woken.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.reset()
        elif before == "refused" and mode != "refused":
            self._listener = self._listen(self.port)
        elif "silent" in (before, mode):
            with self._lock:
                self._open.clear()  # nobody is told

    def reset(self) -> None:
        """Reset every connection."""
        with self._lock:
            ended, self._open = self._open, set()
        for connection in ended:
            _reset(connection)

    def close(self) -> None:
        """Listen no more."""
        self.become("refused")

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = None
        if self._mode != "silent":
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                far.settimeout(None)
            except OSError:
                _reset(near)
                return
        ends = (near, far) if far is not None else (near,)
        with self._lock:
            self._open.update(ends if self._mode != "silent" else ())
        if far is not None:
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()
        self._pass(near, far, False)

    def _pass(self, source: socket.socket, to: socket.socket | None, answering: bool) -> None:
        """Pass on what comes from `source`, until it ends."""
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                with self._lock:
                    alive = source in self._open
                if not alive or to is None:
                    continue  # swallowed
                match self._mode:
                    case "slow":
                        time.sleep(_SLOW_SECONDS)
                    case "trickle" if answering:
                        for crumb in piece:
                            time.sleep(_CRUMB_SECONDS)
                            to.sendall(bytes([crumb]))
                        continue
                    case "cut" if answering:
                        to.sendall(piece[: self._chance.randrange(len(piece))])
                        _reset(to)
                        break
                    case "garbage" if not answering:
                        with suppress(OSError):
                            source.sendall(self._chance.choice(self.garbage))
                        break
                    case "silent":
                        continue
                to.sendall(piece)
        with self._lock:
            alive = source in self._open
            self._open -= {source, *([to] if to is not None else [])}
        if alive:
            for end in (source, to):
                if end is not None:
                    _close(end)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _reset(connection: socket.socket) -> None:
    """Close a connection so that the other side is told of an error."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()
