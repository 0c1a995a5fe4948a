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
_LOOK_SECONDS = 5.0  # how often one who writes beside the owner sees whether it still is
_SETTLE_SECONDS = 0.1  # after which of two who take a lease at once the first has been overwritten


@dataclass(frozen=True, slots=True)
class Lease:
    """Who writes, and since when.

    Attributes:
        owner: one run of one process, by a word that no other has.
        collection: what it writes.
        host: its machine, for people.
        machine: its machine, as `_machine` names it.
        process: its number there.
        since: when it began, in seconds since 1970.
        renewed: when it last said that it goes on.
    """

    owner: str
    collection: str
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
        read: returns the text of a collection's lease.
        write: replaces it.
    """

    def __init__(
        self,
        location: str,
        read: Callable[[str], str | None],
        write: Callable[[str, str], None],
    ) -> None:
        self._location, self._read, self._write = location, read, write
        self.owner = uuid.uuid4().hex
        self._since = time.time()
        self._collection = ""
        self._lost = ""
        self._renewed = 0.0
        self._renewing = threading.Lock()
        self._ended = threading.Event()

    def text(self, collection: str) -> str:
        """Return the lease of this process as it is now."""
        host, process = socket.gethostname(), os.getpid()
        lease = Lease(self.owner, collection, host, _machine(), process, self._since, time.time())
        return json.dumps(asdict(lease))

    def take(self, collection: str) -> None:
        """Become the writer of a collection.

        Raises:
            IndexUnavailable: another process is.
        """
        self._require_free(collection)
        self._write(collection, self.text(collection))
        time.sleep(_SETTLE_SECONDS)
        self._require_free(collection)
        self.keep(collection)

    def keep(self, collection: str) -> None:
        """Renew the lease of a collection, which is this process's already."""
        self._collection, self._renewed = collection, time.monotonic()
        self._ended.clear()
        threading.Thread(target=self._go_on, name="index-lease", daemon=True).start()

    def move(self, collection: str) -> None:
        """Hold the lease of another collection instead, which becomes the one that is meant."""
        with self._renewing:
            self._write(collection, self.text(collection))
            self._collection = collection

    def require(self) -> None:
        """Raise IndexUnavailable if another process has taken over; to be asked before writing."""
        if self._collection and time.monotonic() - self._renewed > LEASE_SECONDS / 2:
            with contextlib.suppress(RetrieverError):  # the server is away: the write will say so
                self._renew()
        if self._lost:
            raise IndexUnavailable(
                f"another process has taken over the index at {self._location} ({self._lost}), "
                "because it heard nothing of this one. What is written so far is kept"
            )

    def end(self) -> None:
        """Give the lease back; again does nothing."""
        self._ended.set()
        with self._renewing:
            collection, self._collection = self._collection, ""
            if collection:
                with contextlib.suppress(RetrieverError):  # else it runs out by itself
                    if self._is_mine(self._of(collection)):
                        self._write(collection, "")

    def _go_on(self) -> None:
        while not self._ended.wait(_RENEW_SECONDS):
            with contextlib.suppress(RetrieverError):  # the server is away: for everybody
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            if not self._collection or self._lost:
                return
            lease = self._of(self._collection)
            if lease is not None and not self._is_mine(lease):
                self._lost = str(lease)
                return
            self._write(self._collection, self.text(self._collection))
            self._renewed = time.monotonic()

    def _of(self, collection: str) -> Lease | None:
        """Return the lease of a collection; one that a snapshot brought along is another's."""
        lease = Lease.read(self._read(collection))
        return lease if lease is not None and lease.collection == collection else None

    def _is_mine(self, lease: Lease | None) -> bool:
        return lease is not None and lease.owner == self.owner

    def _require_free(self, collection: str) -> None:
        lease = self._of(collection)
        if lease is not None and not self._is_mine(lease) and lease.held():
            raise IndexUnavailable(
                f"another process is building the index at {self._location}: {lease}. If it is "
                f"gone, the same command takes over {LEASE_SECONDS:.0f} seconds after that"
            )


class Guest:
    """A process that writes beside the owner of a lease, for as long as that one has it.

    Args:
        location: for messages.
        read: returns the text of a collection's lease.
        collection: what is written.
        owner: of the lease.
    """

    def __init__(
        self, location: str, read: Callable[[str], str | None], collection: str, owner: str
    ) -> None:
        self._location, self._read = location, read
        self._collection, self._owner = collection, owner
        self._looked = -_LOOK_SECONDS

    def require(self) -> None:
        """Raise IndexUnavailable if the owner is gone; to be asked before writing."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        lease = Lease.read(self._read(self._collection))
        if lease is None or lease.owner != self._owner:
            raise IndexUnavailable(
                f"the process that builds the index at {self._location} has given it up, or "
                f"another has taken over{f' ({lease})' if lease else ''}. What is written so far "
                "is kept: run the same command again"
            )
        self._looked = time.monotonic()


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
