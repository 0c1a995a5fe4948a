"""A server that is gone without a word: nobody waits long for it, and a line not at all."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from generator.errors import GeneratorError, GeneratorTimeout, GeneratorUnavailable
from generator.server import patience
from generator.server.client import OpenAIGenerator
from tests.integration.generator_client import allow, complete, generator, hasty
from tests.integration.generator_server import MODEL, Handler, Server


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The URL of a port that answers no connection: its backlog is full, so the system drops it."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def test_a_connection_that_is_not_answered_is_not_tried_again(nowhere: str) -> None:
    client = OpenAIGenerator(nowhere, MODEL, connect_timeout_s=1.0, retries=2)
    began = time.monotonic()
    with pytest.raises(GeneratorTimeout, match="not reached in 1 s"):
        complete(client)
    assert time.monotonic() - began < 2.5, "and not three seconds, and the waits between"


def test_after_some_calls_in_vain_the_others_do_not_wait(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = OpenAIGenerator(nowhere, MODEL, connect_timeout_s=1.0)
    for _ in range(patience.IN_VAIN):
        with pytest.raises(GeneratorTimeout):
            complete(client)
    for call in (complete, complete, OpenAIGenerator.health):
        began = time.monotonic()
        with pytest.raises(GeneratorUnavailable, match="several times in a row"):
            call(client)
        assert time.monotonic() - began < 0.9
    assert caplog.text.count("left alone") == 1


def fails(client: OpenAIGenerator) -> None:
    with pytest.raises(GeneratorError):
        complete(client)


class Hung:
    """What a server does that takes every connection and says nothing, until it is let go."""

    def __init__(self, server: Server) -> None:
        self.over = threading.Event()
        answer, models = server.answer, server.models
        server.answer = lambda handler: self._then(handler, answer)
        server.models = lambda handler: self._then(handler, models)

    def _then(self, handler: Handler, goes_on) -> None:
        if self.over.wait(60):
            goes_on(handler)


def in_vain(client: OpenAIGenerator) -> None:
    for _ in range(patience.IN_VAIN):
        with pytest.raises(GeneratorTimeout, match="did not finish"):
            complete(client)


def test_a_server_that_hangs_is_asked_again_until_it_is_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.3)
    client = hasty(server, 0.5, connect_timeout_s=0.5)
    hung = Hung(server)
    in_vain(client)
    asked = len(server.requests)
    for _ in range(2):  # it asks whether the server is there, which it is not
        time.sleep(0.35)
        with pytest.raises(GeneratorUnavailable, match="several times in a row"):
            complete(client)
    assert len(server.requests) == asked, "no question was sent to find out"
    hung.over.set()
    time.sleep(0.35)
    allow(client, 10.0)
    assert complete(client) == " Paris [1]"


def test_while_one_finds_out_the_others_do_not_wait(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.3)
    client = hasty(server, 0.5, connect_timeout_s=2.0)
    hung = Hung(server)
    in_vain(client)
    time.sleep(0.35)
    finding = threading.Thread(target=complete, args=(client,))
    finding.start()
    time.sleep(0.3)
    began = time.monotonic()
    with pytest.raises(GeneratorUnavailable, match="several times in a row"):
        complete(client)
    assert time.monotonic() - began < 1
    hung.over.set()
    finding.join()


def test_who_waits_for_a_turn_meanwhile_is_told_too(server: Server) -> None:
    client = hasty(server, 2.0, concurrency=patience.IN_VAIN)
    Hung(server)
    began = time.monotonic()
    threads = [threading.Thread(target=fails, args=(client,)) for _ in range(4 * patience.IN_VAIN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 5, "and not two seconds for each three"
    assert len(server.requests) < 2 * patience.IN_VAIN


def test_one_slow_answer_among_others_says_nothing(server: Server) -> None:
    """Calls in vain count where nothing came at all, one after the other."""
    server.answer = lambda handler: handler.events(" Paris")
    client = hasty(server, 10.0)
    for _ in range(2 * patience.IN_VAIN):
        server.answer = lambda handler: handler.state.stopping.wait(2)
        allow(client, 0.5)
        with pytest.raises(GeneratorTimeout):
            complete(client)
        server.answer = lambda handler: handler.events(" Paris")
        allow(client, 10.0)
        assert complete(client) == " Paris"


def test_an_answer_that_stops_amid_is_of_a_server_that_is_there(server: Server) -> None:
    def amid(handler: Handler) -> None:
        handler.start_events()
        handler.send_piece("Par")
        handler.state.stopping.wait(2)

    server.answer = amid
    client = hasty(server, 0.3)
    for _ in range(patience.IN_VAIN + 1):
        with pytest.raises(GeneratorTimeout, match="did not finish"):
            complete(client)


def test_health_sees_that_a_server_is_gone_after_it_was_there(server: Server) -> None:
    client = generator(server, connect_timeout_s=0.4)
    assert client.health()
    hung = Hung(server)
    with pytest.raises(GeneratorUnavailable, match="says nothing within"):
        client.health()
    hung.over.set()
    assert client.health()


@contextmanager
def dropped(port: int) -> Iterator[None]:
    """Have the system drop what is sent to a port of this machine."""
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    command = shutil.which("iptables")
    if command is None or subprocess.run([command, "-w", "-A", *rule]).returncode:
        pytest.skip("needs iptables, and leave to use it")
    try:
        yield
    finally:
        subprocess.run([command, "-w", "-D", *rule], check=True)


@pytest.mark.chaos
@pytest.mark.parametrize("amid", [False, True])
def test_a_host_that_vanishes_ends_its_connections(server: Server, amid: bool) -> None:
    """On a connection that was kept, before the request or after it has arrived."""
    client = hasty(server, 60.0, connect_timeout_s=1.0)
    assert complete(client)
    port = int(server.url.split(":")[2].split("/")[0])
    arrived = threading.Event()

    def hang(handler: Handler) -> None:
        arrived.set()
        handler.state.stopping.wait(60)

    server.answer = hang
    with ExitStack() as stack:
        if not amid:
            stack.enter_context(dropped(port))
        began, failures = time.monotonic(), []

        def ask() -> None:
            with pytest.raises(GeneratorError) as caught:
                complete(client)
            failures.append(caught.value)

        asking = threading.Thread(target=ask)
        asking.start()
        if amid:
            assert arrived.wait(10)
            stack.enter_context(dropped(port))
        asking.join()
        assert time.monotonic() - began < 2 * patience.SILENT_S, "and not 60 s"
    assert "not reached" in str(failures[0])
