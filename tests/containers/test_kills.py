"""Containers that are killed in the middle of work: nothing is lost, doubled or wrong, and their
restart policy brings them back."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.asked import LATE_SECONDS, WITHIN_SECONDS, Asked, Questions, users
from tests.containers.conftest import MANY_PASSAGES, PASSAGES, ids
from tests.containers.project import Project, until

pytestmark = pytest.mark.containers

BACK_SECONDS = 300.0


def answers_flow(asked: Asked) -> None:
    enough = asked.outcomes["answered"] + 4
    until(lambda: asked.outcomes["answered"] >= enough, "no answers", BACK_SECONDS)


@pytest.mark.parametrize("service", ["qdrant", "vllm", "app"])
def test_what_is_killed_while_people_ask_comes_back(
    page: Project, questions: Questions, service: str
) -> None:
    with users(questions, page.url, 2, seed=1) as asked:
        answers_flow(asked)
        began = time.monotonic()
        page.crash(service)
        if service == "app":
            until(lambda: page.get("/readyz")[0] == 200, "the page does not come back")
        else:
            until(lambda: page.healthy(service), f"{service} does not come back")
        back = time.monotonic()
        answers_flow(asked)
    print(f"{service} is back after {back - began:.0f} s: {dict(asked.outcomes)}")
    assert not asked.wrong, asked.wrong
    away = [(began, back + WITHIN_SECONDS + LATE_SECONDS)] if service == "app" else []
    assert not (errors := asked.unexplained(away)), errors
    assert page.held("passages") == ids(PASSAGES)


def test_an_index_server_that_is_killed_while_it_is_written_loses_and_doubles_nothing(
    page: Project, questions: Questions, tmp_path: Path
) -> None:
    build = ("build", "/files/many.jsonl", "--index", "http://qdrant:6333/many")
    words = page.words("run", "-T", "--rm", "--no-deps", "index", *build)
    log = tmp_path / "log"
    with log.open("wb") as file, users(questions, page.url, 1, seed=2) as asked:
        job = subprocess.Popen(words, env=page.settings, stdout=file, stderr=file)
        try:
            for share in (0.1, 0.5):
                until(lambda many=share * MANY_PASSAGES: page.written("many") > many, "no points")
                assert job.poll() is None, log.read_text()
                page.crash("qdrant")
                until(lambda: page.healthy("qdrant"), "the index server does not come back")
            assert job.wait(BACK_SECONDS) == 0, log.read_text()
        finally:
            job.kill()
            job.wait()
        answers_flow(asked)
    assert page.held("many") == ids(MANY_PASSAGES), log.read_text()
    assert page.held("passages") == ids(PASSAGES)
    assert not asked.wrong, asked.wrong
