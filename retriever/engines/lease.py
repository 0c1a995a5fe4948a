"""Who writes a collection on a server: a lease with owner and time, renewed while the writer lives.

Qdrant has no locks, so the lease is a text in the collection's metadata. It is free when it is
missing, when its owner gave it back, when it was not renewed for LEASE_SECONDS, or when its owner
was a process of this machine that is gone. Machines' clocks must agree to within a minute.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from retriever.errors import IndexUnavailable, RetrieverError

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120.0
_RENEW_SECONDS = 20.0
_SETTLE_SECONDS = 0.1  # after which of two who take a lease at once the first has been overwritten

Read = Callable[[], str | None]
Write = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who writes, and since when.

    Attributes:
        owner: one run of one process, by a word that no other has.
        host: its machine, for people.
        machine: its machine, as `_machine` names it.
        process: its number there.
        since: when it began, in seconds since 1970.
        renewed: when it last said that it goes on.
    """

    owner: str
    host: str
    machine: str
    process: int
    since: float
    renewed: float

    @classmethod
    def read(cls, text: str | None) -> "Lease | None":
        """Return the lease that a text is; None where nobody has one."""
        if not text:
            return None
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            logger.warning("a lease that cannot be read is taken over: %.200s", text)
            return None

    def held(self) -> bool:
        """Return whether its owner may still be writing."""
        if self.machine == _machine() and not _runs(self.process):
            return False
        return time.time() - self.renewed < LEASE_SECONDS

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        ago = max(0, int(time.time() - self.renewed))
        return f"process {self.process} on {self.host}, since {since}, last heard {ago} seconds ago"


class Writer:
    """This process as a writer: takes the lease of a collection, renews and returns it.

    Args:
        location: for messages.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._mine = uuid.uuid4().hex
        self._since = time.time()
        self._ended = threading.Event()
        self._lost = ""
        self._read: Read | None = None
        self._write: Write | None = None
        self._renewed = 0.0
        self._renewing = threading.Lock()

    def text(self) -> str:
        """Return the lease of this process as it is now."""
        host, process = socket.gethostname(), os.getpid()
        lease = Lease(self._mine, host, _machine(), process, self._since, time.time())
        return json.dumps(asdict(lease))

    def take(self, read: Read, write: Write) -> None:
        """Become the writer.

        Args:
            read: returns the text of the lease.
            write: replaces it.

        Raises:
            IndexUnavailable: another process is.
        """
        self._require_free(read())
        write(self.text())
        time.sleep(_SETTLE_SECONDS)
        self._require_free(read())
        self.keep(read, write)

    def keep(self, read: Read, write: Write) -> None:
        """Renew a lease that is this process's already."""
        self._read, self._write, self._renewed = read, write, time.monotonic()
        self._ended.clear()
        threading.Thread(target=self._go_on, name="index-lease", daemon=True).start()

    def move(self, read: Read, write: Write) -> None:
        """Hold the lease of another collection instead, which becomes the one that is meant."""
        with self._renewing:
            write(self.text())
            self._read, self._write = read, write

    def require(self) -> None:
        """Raise IndexUnavailable if another process has taken over; to be asked before writing."""
        if self._read is not None and time.monotonic() - self._renewed > LEASE_SECONDS / 2:
            with contextlib.suppress(RetrieverError):  # the server is away: the write will say so
                self._renew()
        if self._lost:
            raise IndexUnavailable(
                f"another process has taken over the index at {self._location} ({self._lost}), "
                "as this one was not heard of. What is written so far is kept"
            )

    def end(self) -> None:
        """Give the lease back; again does nothing."""
        self._ended.set()
        with self._renewing:
            read, write = self._read, self._write
            self._read = self._write = None
            if read is None or write is None:
                return
            with contextlib.suppress(RetrieverError):  # else it runs out by itself
                if self._is_mine(read()):
                    write("")

    def _go_on(self) -> None:
        while not self._ended.wait(_RENEW_SECONDS):
            with contextlib.suppress(RetrieverError):  # the server is away: for everybody
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            if self._read is None or self._write is None or self._lost:
                return
            text = self._read()
            if text and not self._is_mine(text):
                self._lost = str(Lease.read(text))
                return
            self._write(self.text())
            self._renewed = time.monotonic()

    def _is_mine(self, text: str | None) -> bool:
        lease = Lease.read(text)
        return lease is not None and lease.owner == self._mine

    def _require_free(self, text: str | None) -> None:
        lease = Lease.read(text)
        if lease is not None and lease.owner != self._mine and lease.held():
            raise IndexUnavailable(
                f"another process is building the index at {self._location}: {lease}. If it is "
                f"gone, the same command takes over {LEASE_SECONDS:.0f} seconds after that"
            )


def _machine() -> str:
    """Return what tells the processes that can be seen from here from all others."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text().strip()}/{space.readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
