"""/healthz and /readyz: what an orchestrator sees of parts that go away."""

import logging
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.health import Health
from generator.errors import GeneratorUnavailable
from retriever.errors import IndexUnavailable


class Parts:
    """An index and a generator, there or not."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    def index(self) -> int:
        if "index" in self.away:
            raise IndexUnavailable("http://10.0.0.6:6333 does not answer")
        return 5

    def generator(self) -> str:
        if "generator" in self.away:
            raise GeneratorUnavailable("http://10.0.0.7:8000/v1 does not answer")
        return "fine"


def served(health: Health) -> TestClient:
    app = FastAPI()
    app.include_router(health.routes())
    return TestClient(app)


def test_parts_that_go_and_come_back_are_named(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts()
    health = Health({"index": parts.index, "generator": parts.generator})
    client = served(health)
    health.check()
    assert client.get("/readyz").json() == {"ready": True, "missing": [], "stopping": False}
    assert client.head("/readyz").status_code == client.head("/healthz").status_code == 200
    parts.away = {"index", "generator"}
    health.check()
    health.check()
    answer = client.get("/readyz")
    assert answer.status_code == client.head("/readyz").status_code == 503
    assert answer.json()["missing"] == ["index", "generator"] and not answer.json()["ready"]
    assert client.get("/healthz").status_code == 200
    parts.away = {"index"}
    health.check()
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["missing"] == ["index"]
    # Said once each, and addresses to the log alone.
    said = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == 3 and "10.0.0.7" in said[1] and said[2] == "the generator is back"


def test_without_the_generator_there_are_passages() -> None:
    parts = Parts()
    health = Health({"index": parts.index, "generator": parts.generator})
    parts.away = {"generator"}
    health.check()
    answer = served(health).get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "missing": ["generator"], "stopping": False}
    health.stopping = True
    assert served(health).get("/readyz").status_code == 503


def test_it_looks_by_itself() -> None:
    parts = Parts()
    parts.away = {"generator"}
    health = Health({"generator": parts.generator}, every=0.01)
    health.start()
    try:
        for missing in (["generator"], []):
            for _ in range(500):
                if health.readiness.missing == missing:
                    break
                time.sleep(0.01)
            assert health.readiness.missing == missing
            parts.away = set()
    finally:
        health.close()
