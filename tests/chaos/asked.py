"""Users of the server under fire: what they ask, what is right, and what became of it.

questions = Questions()
questions.learn(url)                              # at a quiet time
with users(questions, url, count=3) as asked:
    ...
asked.wrong                                       # what may not be, as sentences
"""

import base64
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from corpus.demo.data import example_gallery, example_image_path

WITHIN_SECONDS = 10.0  # that a question may take
LATE_SECONDS = 10.0  # by which its answer may be late, on a busy machine
_HONEST = {429, 503, 504}  # of a server whose parts are away
_PAUSE_SECONDS = 0.2  # after what was no answer


class Questions:
    """Questions of the gallery, and every result that was right to them at a quiet time.

    Args:
        count: how many.
        key: of the API; "" sends none.
    """

    def __init__(self, count: int = 5, key: str = "") -> None:
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._right: dict[str, set[str]] = {}
        self._bodies = {
            example.image: {
                "question": example.question,
                "image": base64.b64encode(example_image_path(example).read_bytes()).decode(),
                "within_seconds": WITHIN_SECONDS,
            }
            for example in example_gallery()[:count]
        }
        self.names = sorted(self._bodies)

    def ask(self, client: httpx.Client, url: str, name: str) -> httpx.Response:
        """Return the answer to a question, whatever it is."""
        return client.post(f"{url}/v1/ask", json=self._bodies[name], headers=self._headers)

    def learn(self, url: str) -> None:
        """Find out what is right, asking one after another and several at once."""

        def learn(name: str) -> None:
            with httpx.Client(timeout=60, trust_env=False) as client:
                reply = self.ask(client, url, name)
            assert reply.status_code == 200, reply.text
            said = reply.json()
            assert said["answer"] and said["saw_picture"] and said["citations"], said
            self._right.setdefault(name, set()).add(_result(said))

        for name in self.names:
            learn(name)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(learn, self.names))

    def judged(self, name: str, reply: httpx.Response) -> tuple[str, str]:
        """Return what became of a question, and what is wrong with that; "" for nothing."""
        what = f"{name}: {reply.status_code} {reply.text:.500}"
        try:
            said = reply.json()
            if reply.status_code in _HONEST and said["detail"]:
                return f"{reply.status_code}", ""
            if reply.status_code != 200:
                return f"{reply.status_code}", what
            right = self._right[name]
            if said["answer"] is None and said["failure"]:
                same = _hits(said) in {json.loads(result)["hits"] for result in right}
                return "passages alone", "" if same else f"other passages: {what}"
            same = _result(said) in right
        except (ValueError, LookupError, TypeError) as exc:
            return "nonsense", f"{exc!r} in {what}"
        return "answered" if same else "another answer", "" if same else f"{what} is not {right}"


@dataclass
class Asked:
    """What became of questions.

    Attributes:
        outcomes: how often each.
        wrong: what may not be.
        unanswered: (asked, outcome, seconds, what was said) of honest errors.
        broken: (asked, ended, error) where there was no answer at all.
        slowest: seconds until an answer, of any kind.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unanswered: list[tuple[float, str, float, str]] = field(default_factory=list)
    broken: list[tuple[float, float, str]] = field(default_factory=list)
    slowest: float = 0.0

    def hasty(self, since: float) -> list[object]:
        """Return every question since then that had no answer, but for those whose time was over.

        What was asked before may still meet what an earlier test left behind.
        """
        late = str(httpx.codes.GATEWAY_TIMEOUT)
        in_time = [said for said in self.unanswered if said[1] != late or said[2] < WITHIN_SECONDS]
        return [said for said in (*in_time, *self.broken) if said[0] >= since]

    def unexplained(self, away: list[tuple[float, float]]) -> list[str]:
        """Return errors of connections at times when the server was there."""
        return [
            error
            for began, ended, error in self.broken
            if not any(began <= last and first <= ended for first, last in away)
        ]


@contextmanager
def users(questions: Questions, url: str, count: int, seed: int) -> Iterator[Asked]:
    """Have so many users ask, each one question after another, until this is left."""
    asked, over = Asked(), threading.Event()
    threads = [
        threading.Thread(target=_user, args=(questions, url, asked, over, seed + number))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _user(questions: Questions, url: str, asked: Asked, over: threading.Event, seed: int) -> None:
    chance = random.Random(seed)
    with httpx.Client(timeout=WITHIN_SECONDS + LATE_SECONDS, trust_env=False) as client:
        while not over.is_set():
            name, began = chance.choice(questions.names), time.monotonic()
            try:
                reply = questions.ask(client, url, name)
            except httpx.TransportError as exc:
                asked.outcomes["no connection"] += 1
                asked.broken.append((began, time.monotonic(), repr(exc)))
                over.wait(_PAUSE_SECONDS)
                continue
            taken = time.monotonic() - began
            asked.slowest = max(asked.slowest, taken)
            outcome, wrong = questions.judged(name, reply)
            asked.outcomes[outcome] += 1
            if wrong:
                asked.wrong.append(wrong)
            elif taken > WITHIN_SECONDS + LATE_SECONDS:
                asked.wrong.append(f"{name}: {outcome} after {taken:.1f} s")
            if outcome != "answered":
                asked.unanswered.append((began, outcome, taken, reply.text))
                over.wait(_PAUSE_SECONDS)


def _result(said: dict[str, Any]) -> str:
    """Return what makes a result this one."""
    names = ("answer", "citations", "saw_picture")
    return json.dumps({name: said[name] for name in names} | {"hits": _hits(said)})


def _hits(said: dict[str, Any]) -> str:
    return " ".join(hit["passage_id"] for hit in said["hits"])
