"""The names by which the API may be asked."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.api.application import build_api
from app.api.hosts import KnownHosts
from app.pipeline import Pipeline
from app.settings import Settings
from tests.served_here import HERE

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "guide" / "api.md"
ALWAYS = ("localhost", "LOCALHOST:80", "a.localhost", "127.0.0.1:7860", "[::1]:7860", "10.0.0.7")
ELSEWHERE = ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example")
BROKEN = ("[::1", "::1", "a b", "localhost:80:80", "@localhost", "localhost/a", "*")


def test_a_name_of_elsewhere_is_refused_with_what_to_do(client: TestClient) -> None:
    assert "| 421 |" in GUIDE.read_text(encoding="utf-8")
    for path in ("/v1/models", "/healthz", "/metrics", "/v1/nothing"):
        for host in (*ELSEWHERE, *BROKEN):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == 421, host
            assert answer.headers["content-type"] == "application/problem+json"
            assert repr(host) in answer.json()["detail"]
            assert "KBVQA_ALLOWED_HOSTS" in answer.json()["detail"]
            assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_addresses_and_localhost_are_answered(client: TestClient) -> None:
    for host in ALWAYS:
        assert client.get("/v1/models", headers={"Host": host}).status_code == 200, host


def test_who_says_no_name_is_answered(client: TestClient) -> None:
    """As probes by HTTP/1.0 do, and no browser."""
    assert client.get("/healthz", headers={"Host": ""}).status_code == 200


@pytest.mark.parametrize(
    ("allowed", "answered", "refused"),
    [
        ("kbvqa.example.org", ("kbvqa.example.org", "KBVQA.example.org.:443"), ("example.org",)),
        ("*.example.org", ("a.example.org", "a.b.example.org:80"), ("example.org", "aexample.org")),
        ("app, Box", ("app:7860", "box", "127.0.0.1"), ("other",)),
        ("app, *", ELSEWHERE, ()),
    ],
)
def test_names_that_are_allowed(
    pipeline: Pipeline, allowed: str, answered: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    app = build_api(pipeline, Settings(allowed_hosts=allowed)).app
    with TestClient(app, base_url=HERE) as client:
        statuses = {
            host: client.get("/v1/models", headers={"Host": host}).status_code
            for host in (*answered, *refused)
        }
    assert statuses == dict.fromkeys(answered, 200) | dict.fromkeys(refused, 421)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((here, 421) for here in ("127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]")),
        *((open_, 200) for open_ in ("0.0.0.0", "::", "192.0.2.7", "box.example.org")),
    ],
)
def test_any_name_is_answered_where_others_than_this_machine_are(
    pipeline: Pipeline, host: str, status: int
) -> None:
    app = build_api(pipeline, Settings(host=host)).app
    with TestClient(app, base_url="http://any.example") as client:
        assert client.get("/v1/models").status_code == status


def test_a_websocket_for_another_name_is_closed() -> None:
    async def greets(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app = Starlette(
        routes=[WebSocketRoute("/", greets)], middleware=[Middleware(KnownHosts, names=("box",))]
    )
    with TestClient(app) as client:
        with client.websocket_connect("ws://box/"):
            pass
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://evil.example/"):
            pass
