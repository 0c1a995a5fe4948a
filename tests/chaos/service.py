"""The server under test with its parts, each a process behind links, and what is done to them.

with Service(home, folder, seed) as service:
    service.start()
    seconds = service.strike("index", "kill", 1.0)
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.chaos.asked import LATE_SECONDS, WITHIN_SECONDS, Questions
from tests.chaos.link import GARBAGE, Link, Mode
from tests.e2e.conftest import free_port
from tests.integration.generator_server import KEY, MODEL

BACK_SECONDS = 25.0  # after which there is service again, from the moment that the part is back
START_SECONDS = 300.0
MODULE = (sys.executable, "-m", "tests.chaos.parts")
_MODES: dict[str, Mode] = {
    "slow down": "slow",
    "lose": "silent",
    "unplug": "refused",
    "cut": "cut",
    "soil": "garbage",
}
FAULTS = ("kill", "stop", *_MODES)


class Part:
    """A process that may die, and the links to its ports.

    Args:
        command: starts it; its first line is the list of its ports.
        log: of its errors.
        links: how many ports it has.
        seed: of what is random.
    """

    def __init__(self, command: list[str], log: Path, links: int, seed: int) -> None:
        self._command, self._log = command, log
        self.links = [Link(0, seed + number) for number in range(links)]
        self._start()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self._log.read_text()
        for link, port in zip(self.links, json.loads(line), strict=True):
            link.target = port
            link.become("whole")

    def strike(self, fault: str, seconds: float) -> None:
        """Do harm for so long."""
        if fault == "kill":
            self.process.kill()
            self.process.wait()
            self._become("refused")
            time.sleep(seconds)
            self._start()
        elif fault == "stop":
            pause(self.process, seconds)
        else:
            self._become(_MODES[fault])
            time.sleep(seconds)
            self._become("whole")

    def close(self) -> None:
        """End it, and its links."""
        self.process.kill()
        self.process.wait()
        self._become("refused")

    def _become(self, mode: Mode) -> None:
        for link in self.links:
            link.become(mode)


class Service:
    """`kbvqa web` on an index and a generator.

    Args:
        home: with the checkpoint.
        folder: for what the parts keep, and logs.
        seed: of what is random.
        environment: more settings of the server.

    Attributes:
        away: when the server itself was struck, until it answered again.
    """

    def __init__(self, home: Path, folder: Path, seed: int, **environment: str) -> None:
        self._home, self._environment, self._chance = home, environment, random.Random(seed)
        stored = [*MODULE, "index", str(folder / "index")]
        self.index = Part(stored, folder / "index.log", 2, seed)
        self.generator = Part([*MODULE, "generator"], folder / "generator.log", 1, seed + 2)
        self.log, self.port = folder / "web.log", free_port()
        self._front = Link(self.port, seed + 3)  # users come through it
        self._web: subprocess.Popen[bytes] | None = None
        self.away: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._web is not None:
            self._web.kill()
            self._web.wait()
        for part in (self.index, self.generator):
            part.close()
        self._front.close()

    @property
    def url(self) -> str:
        """Return where users ask."""
        return f"http://127.0.0.1:{self._front.port}"

    def location(self, name: str) -> str:
        """Return the URL of an index of this name."""
        return f"http://127.0.0.1:{self.index.links[0].port}/{name}"

    @property
    def web(self) -> subprocess.Popen[bytes]:
        """Return the process of the server."""
        assert self._web is not None
        return self._web

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment of the server, and of what builds indexes."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("KBVQA_")}
        generator = f"http://127.0.0.1:{self.generator.links[0].port}/v1"
        return ours | {
            "HF_HUB_OFFLINE": "1",
            "KBVQA_HOME": str(self._home),
            "KBVQA_INDEX": self.location("asked"),
            "KBVQA_QDRANT_GRPC_PORT": str(self.index.links[1].port),
            "KBVQA_GENERATOR_URL": generator,
            "KBVQA_GENERATOR_MODEL": MODEL,
            "KBVQA_GENERATOR_API_KEY": KEY,
            "KBVQA_STRATEGY": "concat",
            "KBVQA_PROMPT_STYLE": "instruct",
            "KBVQA_API_REQUESTS_PER_MINUTE": "1000000",
            **self._environment,
        }

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        command = [sys.executable, "-m", "kbvqa", "web", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._web = subprocess.Popen(command, env=self.settings, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self._web.poll() is None, self.log.read_text()
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5, trust_env=False)
                return
            time.sleep(0.1)
        raise AssertionError(f"no server after {START_SECONDS} s: {self.log.read_text()}")

    def strike(self, part: str, fault: str, seconds: float, questions: Questions) -> float:
        """Do harm to a part for so long, and return after how many seconds there is service again.

        Raises:
            AssertionError: there is none in time.
        """
        began = time.monotonic()
        if part == "web":
            self._strike_web(fault, seconds)
        else:
            {"index": self.index, "generator": self.generator}[part].strike(fault, seconds)
        back = time.monotonic()
        self._wait_for_service(questions)
        if part == "web":
            # Who was connected through a link that was silent finds out by himself.
            self.away.append((began, back + WITHIN_SECONDS + LATE_SECONDS))
        return time.monotonic() - back

    def _strike_web(self, fault: str, seconds: float) -> None:
        if fault == "kill":
            self.web.kill()
            self.web.wait()
            time.sleep(seconds)
            self.start()
        elif fault == "stop":
            pause(self.web, seconds)
        elif fault == "soil":
            self._send_garbage(time.monotonic() + seconds)
        else:
            self._front.become(_MODES[fault])
            time.sleep(seconds)
            self._front.become("whole")

    def _send_garbage(self, end: float) -> None:
        """Send the server what is no request, until then."""
        while time.monotonic() < end:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection,
                suppress(OSError),
            ):
                connection.sendall(self._chance.choice(GARBAGE))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            time.sleep(0.02)

    def _wait_for_service(self, questions: Questions) -> None:
        end, last = time.monotonic() + BACK_SECONDS, ""
        with httpx.Client(timeout=WITHIN_SECONDS + LATE_SECONDS, trust_env=False) as client:
            while time.monotonic() < end:
                try:
                    name = self._chance.choice(questions.names)
                    reply = questions.ask(client, f"http://127.0.0.1:{self.port}", name)
                    last, _ = questions.judged(name, reply)
                except httpx.TransportError as exc:
                    last = repr(exc)
                if last == "answered":
                    return
                time.sleep(0.1)
        raise AssertionError(f"no service {BACK_SECONDS} s after the part was back: {last}")


class Builder:
    """Builds an index of two corpora in turn, over and over, whatever happens to the server."""

    def __init__(self, service: Service, corpora: tuple[Path, Path], log: Path) -> None:
        self._service, self._corpora, self._log = service, corpora, log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.finished = 0
        self._thread.start()

    def stop(self) -> None:
        """Build the first corpus once more, undisturbed, and no more.

        Raises:
            AssertionError: it cannot be built.
        """
        self._over.set()
        self._thread.join()
        assert self._build(self._corpora[0]) == 0, self._log.read_text()

    def _go_on(self) -> None:
        while not self._over.is_set():
            self.finished += self._build(self._corpora[self.finished % 2]) == 0
            self._over.wait(1)

    def _build(self, corpus: Path) -> int:
        words = ["index", "build", str(corpus), "--index", self._service.location("built")]
        with self._log.open("ab") as log:
            return subprocess.run(
                [sys.executable, "-m", "kbvqa", *words, "--prune"],
                env=self._service.settings,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode


def pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Stop a process for so long."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def until(holds: Callable[[], bool], seconds: float, what: object) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not in time.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)
