"""Whoever closes the connection stops the generator, and makes room for the next one."""

import json
from typing import Any

import anyio
import pytest

from app.api.application import Served

WORDS = 5000


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_stops_the_generator(
    served: Served, generator: Any, encoded: str, stream: bool
) -> None:
    generator.write = lambda prompt: ("word " * WORDS, -0.1)
    fields = {"question": "What is it?", "image": encoded, "stream": stream}
    body = json.dumps(fields).encode()

    async def asked() -> bytes:
        sent, came, body_read = b"", anyio.Event(), False

        async def receive() -> dict[str, Any]:
            nonlocal body_read
            if not body_read:
                body_read = True
                return {"type": "http.request", "body": body, "more_body": False}
            while not (came.is_set() if stream else generator.asked):
                await anyio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal sent
            sent += message.get("body", b"")
            if b"event: piece" in sent:
                came.set()
            await anyio.sleep(0)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/ask",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "server": ("testserver", 80),
            "root_path": "",
        }
        await served.app(scope, receive, send)
        return sent

    sent = anyio.run(asked)
    assert generator.closed == 1
    assert b"event: result" not in sent
    assert sent.count(b"event: piece") < WORDS
    assert served.pipeline._turns.acquire(timeout=0) and served.pipeline._turns.acquire(timeout=0)
