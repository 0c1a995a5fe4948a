"""An environment of its own for each test, and where its index lies."""

import os
from pathlib import Path

import pytest

from tests.integration.index_cli.commands import CHECKPOINT
from tests.integration.qdrant_server import StandIn


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("KBVQA_") and not name.startswith("KBVQA_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KBVQA_CHECKPOINT", CHECKPOINT)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(params=["directory", "server"])
def location(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    if request.param == "directory":
        return str(tmp_path / "index")
    server: StandIn = request.getfixturevalue("stand_in")
    monkeypatch.setenv("KBVQA_QDRANT_GRPC_PORT", str(server.grpc_port))
    return f"{server.url}/things"
