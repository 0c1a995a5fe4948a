"""What is being answered on each open page, and what is asked next there. For any thread.

A page has one question under way at most and one that waits for its end. A question that is there
already is not asked again; a picture that is replaced takes what is about the old one with it.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

from generator.answers.answer import Strategy
from generator.rewriting import Turn


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """A question as the page sent it.

    Attributes:
        picture: Gradio's record of the upload; None where there is none.
        question: as typed.
        top_k: passages to show.
        strategy: how to answer.
        box: the part of the picture that is looked at, as text; "" for the whole.
        sources: only passages from these are found; () for all.
        beside: whether the model is asked without passages too.
        after: what was asked before about the same picture.
    """

    picture: Any
    question: str
    top_k: int
    strategy: Strategy
    box: str = ""
    sources: tuple[str, ...] = ()
    beside: bool = False
    after: tuple[Turn, ...] = ()

    @property
    def path(self) -> str:
        """Return where the picture lies, one place for each; "" where there is none."""
        return str((self.picture or {}).get("path") or "")

    def same(self, other: "PageQuestion | None") -> bool:
        """Return whether two questions are one."""
        return other is not None and _key(self) == _key(other)


@dataclass(slots=True)
class Run:
    """A question that is being answered.

    Attributes:
        asked: the question.
        stop: set when the answer is wanted no more.
        by_hand: whether the user stopped it, rather than went on to something else.
    """

    asked: PageQuestion
    stop: threading.Event = field(default_factory=threading.Event)
    by_hand: bool = False


class Runs:
    """The questions of all open pages, by their sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Run] = {}
        self._waiting: dict[str, PageQuestion] = {}

    def ask(self, session: str, asked: PageQuestion) -> bool:
        """Return whether this is now what waits; False where it is under way or waits already."""
        with self._lock:
            running = self._running.get(session)
            if running and not running.stop.is_set() and asked.same(running.asked):
                self._waiting.pop(session, None)
                return False
            known = asked.same(self._waiting.get(session))
            self._waiting[session] = asked
            return not known

    def others(self, session: str) -> int:
        """Return how many other pages have a question that is answered or waits."""
        with self._lock:
            return len({*self._running, *self._waiting} - {session})

    def take(self, session: str) -> Run | None:
        """Return what waits, which is then under way; None where nothing does."""
        with self._lock:
            self._running.pop(session, None)
            asked = self._waiting.pop(session, None)
            if asked is None:
                return None
            run = self._running[session] = Run(asked)
            return run

    def end(self, run: Run, session: str) -> None:
        """Forget what was under way."""
        with self._lock:
            if self._running.get(session) is run:
                del self._running[session]

    def stop(self, session: str, *, by_hand: bool = False) -> None:
        """Stop what is under way after its present step, and drop what waits."""
        self.keep(session, None, by_hand=by_hand)

    def keep(self, session: str, path: str | None, *, by_hand: bool = False) -> None:
        """Do so with all that is not about the picture at `path`."""
        with self._lock:
            waiting, running = self._waiting.get(session), self._running.get(session)
            if waiting and waiting.path != path:
                del self._waiting[session]
            if running and running.asked.path != path:
                running.by_hand = by_hand
                running.stop.set()

    def busy(self, session: str) -> bool:
        """Return whether something is under way or waits."""
        with self._lock:
            running = self._running.get(session)
            return session in self._waiting or bool(running and not running.stop.is_set())


def _key(asked: PageQuestion) -> tuple[object, ...]:
    """Return what makes a question another one; what was said before it does not."""
    how = asked.top_k, asked.strategy, asked.box, asked.sources, asked.beside
    return asked.path, asked.question.strip(), *how
