"""Micro-batching: callers in many threads, one batch at a time on the device.

A caller that finds nobody at work waits a few milliseconds for others and then runs the
batch for all of them, in its own thread. Those who arrive meanwhile wait together; the
first of them runs the next batch. So a busy server fills the device and an idle one loses
no more than the window.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Item, Value]):
    item: Item
    called: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    values: list[Value] = field(default_factory=list)
    error: Exception | None = None


class MicroBatcher(Generic[Item, Value]):
    """A function of batches that is called with single items, from any thread.

    Args:
        run: takes items and returns as many values, in their order.
        window_s: how long the first caller waits for others, in seconds.
        max_items: the most items in a batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Value]],
        window_s: float = 0.003,
        max_items: int = 16,
    ) -> None:
        self._run, self._window_s, self._max_items = run, window_s, max_items
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Item, Value]] = []
        self._busy = False

    def __call__(self, item: Item) -> Value:
        """Return the item's value; an error is raised for the item that causes it alone."""
        ticket = _Ticket[Item, Value](item)
        try:
            with self._lock:
                self._waiting.append(ticket)
                ticket.leads, first = not self._busy, not self._busy
                self._busy = True
            if first:
                time.sleep(self._window_s)
            else:
                ticket.called.wait()
            if ticket.leads:
                self._lead()
        finally:  # also of a caller that is interrupted
            self._leave(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.values[0]

    def _lead(self) -> None:
        """Run a batch: the leader's own ticket is its first."""
        with self._lock:
            batch = self._waiting[: self._max_items]
            del self._waiting[: self._max_items]
        try:
            self._fill(batch)
        finally:
            done = [ticket for ticket in batch if ticket.values or ticket.error is not None]
            with self._lock:  # what an interrupt has left is for the next leader
                self._waiting[:0] = [ticket for ticket in batch if ticket not in done]
            for ticket in done:
                ticket.called.set()

    def _leave(self, ticket: _Ticket[Item, Value]) -> None:
        """Let a caller go; where it led, the first of those who wait leads next."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if not ticket.leads:
                return
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
            if following is not None:
                following.leads = True
                following.called.set()

    def _fill(self, batch: Sequence[_Ticket[Item, Value]]) -> None:
        try:
            values = self._run([ticket.item for ticket in batch])
            for ticket, value in zip(batch, values, strict=True):
                ticket.values.append(value)
        except Exception as exc:  # noqa: BLE001 - raised again, in the thread it belongs to
            if len(batch) == 1:
                batch[0].error = exc
                return
            for ticket in batch:
                ticket.values.clear()
                self._fill([ticket])
