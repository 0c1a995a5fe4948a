"""A server that runs out of handles or memory, a clock that jumps, a disk that fills.

While something is lacking every question has an answer or an honest error; when it is there again,
so is the service.
"""

import io
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app.web.serving.connections import HEAD_SECONDS
from corpus.files.passages import write_passages
from retriever.index.passage_index import PassageIndex
from tests.chaos.asked import Asked, Questions, users
from tests.chaos.conftest import SEED, started
from tests.chaos.service import BACK_SECONDS, Service, until
from tests.e2e.conftest import small_corpus

pytestmark = pytest.mark.chaos

MIB = 1 << 20
DAY = 86_400
MOST_LOG = 100_000
LACKING_SECONDS = 8.0
UNDER_WAY_SECONDS = 2.0  # an answer takes less


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How many seconds the server's wall clock is ahead, as eight bytes."""
    path = tmp_path_factory.mktemp("clock") / "seconds"
    path.write_bytes(struct.pack("q", 0))
    return path


@pytest.fixture(scope="module")
def served(
    home: Path, clock: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Questions]]:
    """A service whose clock can be set."""
    folder = tmp_path_factory.mktemp("served")
    source, library = Path(__file__).with_name("clock.c"), folder / "clock.so"
    compiler = shutil.which("cc")
    assert compiler, "install a C compiler: it makes what sets the clock"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "KBVQA_TEST_CLOCK": str(clock)}
    with started(home, folder, 3, **environment) as ready:
        yield ready


@contextmanager
def under_load(served: tuple[Service, Questions]) -> Iterator[Asked]:
    """Have people ask; afterwards nothing may be wrong, and the service as it was."""
    service, questions = served
    with users(questions, service.url, 3, SEED) as asked:
        until(lambda: asked.outcomes["answered"] >= 2, 60, "no answers to begin with")
        yield asked
        enough = asked.outcomes["answered"] + 2
        until(lambda: asked.outcomes["answered"] >= enough, BACK_SECONDS, asked)
    print(dict(asked.outcomes), f"the slowest {asked.slowest:.1f} s")
    assert not asked.wrong, asked.wrong
    assert service.web.poll() is None, service.log.read_text(encoding="utf-8")


@contextmanager
def limited(process: int, what: int, most: int) -> Iterator[None]:
    """Let a process that runs have no more of something, while this lasts."""
    before = resource.prlimit(process, what)
    resource.prlimit(process, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, what, before)


def test_no_handle_is_left(served: tuple[Service, Questions]) -> None:
    service, _ = served
    process = service.web.pid
    with under_load(served), limited(process, resource.RLIMIT_NOFILE, 8):  # it has more open
        for link in (*service.index.links, *service.generator.links):
            link.reset()  # so that it wants new ones
        time.sleep(LACKING_SECONDS)


def test_more_callers_come_than_there_are_handles(served: tuple[Service, Questions]) -> None:
    service, _ = served
    process = service.web.pid
    used = len(list(Path(f"/proc/{process}/fd").iterdir()))
    with (
        under_load(served),
        limited(process, resource.RLIMIT_NOFILE, used + 50),
        ExitStack() as silent,
    ):
        for _ in range(100):
            silent.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=5))
        time.sleep(HEAD_SECONDS + 2)  # after which those that said nothing are gone
    log = service.log.read_text(encoding="utf-8")
    assert "nobody else can connect" in log and len(log) < MOST_LOG, "nor does it fill the disk"


def test_no_memory_is_left(served: tuple[Service, Questions]) -> None:
    service, _ = served
    process, large = service.web.pid, io.BytesIO()
    Image.new("RGB", (8000, 7000), "white").save(large, "PNG")
    with under_load(served) as asked:
        [size] = Path(f"/proc/{process}/statm").read_text().split()[:1]
        with limited(process, resource.RLIMIT_AS, int(size) * resource.getpagesize() + 64 * MIB):
            files = {"image": large.getvalue()}
            for _ in range(4):
                said = httpx.post(
                    f"{service.url}/v1/search", data={"question": "?"}, files=files, timeout=60
                )
                assert said.status_code in (200, 429, 503), said.text
                asked.outcomes[f"large: {said.status_code}"] += 1


@pytest.mark.parametrize("days", [1, -1, 0])
def test_the_clock_jumps(served: tuple[Service, Questions], clock: Path, days: int) -> None:
    """No question ends by the wall clock: one that has no answer has had its time."""
    with under_load(served) as asked:
        # Those that are under way when it jumps count, but none of before.
        since = time.monotonic() - UNDER_WAY_SECONDS
        with clock.open("r+b") as file:  # in place: the server has it mapped
            file.write(struct.pack("q", days * DAY))
        time.sleep(LACKING_SECONDS / 2)
    assert not asked.hasty(since)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", folder]).returncode:
        pytest.skip("needs leave to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_fills_while_an_index_is_built(home: Path, tmp_path: Path, disk: Path) -> None:
    corpus, place = tmp_path / "passages.jsonl", disk / "index"
    passages = small_corpus(200)
    write_passages(corpus, passages)
    command = [sys.executable, "-m", "kbvqa", "index", "build", str(corpus), "--index", str(place)]
    environment = os.environ | {"KBVQA_HOME": str(home), "HF_HUB_OFFLINE": "1"}

    def building() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    with building() as build:
        assert build.stdout is not None
        next(line for line in build.stdout if f" of {len(passages)}" in line)  # some are written
        fill(disk / "other")
        said = build.stdout.read()
    assert build.returncode == 1 and "is full" in said and "Traceback" not in said, said
    (disk / "other").unlink()
    with building() as build:
        said = build.communicate()[0]
    assert build.returncode == 0, said
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with PassageIndex.open(place) as index:
        held = sorted(passage.id for passage, _ in index.scroll())
    assert held == sorted(passage.id for passage in passages)


def fill(path: Path) -> None:
    """Write a file until there is no room."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(MIB)):
                pass
        except OSError:
            return
