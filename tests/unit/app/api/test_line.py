"""Whoever asks much keeps nobody else waiting."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient

from app.api.application import build_api
from app.api.line import Line
from app.api.problems import Refusal
from app.pipeline import Pipeline
from app.settings import Settings
from tests.served_here import HERE


class Asking:
    """Requests of several callers, whose turns last until they are let go."""

    def __init__(self, line: Line, group: Any) -> None:
        self._line, self._group = line, group
        self.turns: list[str] = []
        self.refused: list[str] = []
        self._spoken = anyio.Semaphore(0)

    async def ask(self, *names: str) -> None:
        """Have requests come, each named by its caller's letter and a number."""
        for name in names:
            self._group.start_soon(self._one, name)
            await anyio.wait_all_tasks_blocked()

    async def end(self, count: int = 1) -> None:
        """Let so many turns end, one after the other."""
        for _ in range(count):
            self._spoken.release()
            await anyio.wait_all_tasks_blocked()

    async def _one(self, name: str) -> None:
        try:
            with self._line.place(name[0]) as place:
                await place.turn()
                self.turns.append(name)
                await self._spoken.acquire()
        except Refusal as refusal:
            assert refusal.status_code == 429 and refusal.headers["Retry-After"]
            self.refused.append(name)


def run(line: Line, story: Callable[[Asking], Awaitable[None]]) -> Asking:
    async def told() -> Asking:
        async with anyio.create_task_group() as group:
            asking = Asking(line, group)
            await story(asking)
            group.cancel_scope.cancel()
        assert line.under_way == line.waiting() == 0
        return asking

    return anyio.run(told)


def test_callers_have_their_turns_one_after_the_other() -> None:
    async def story(asking: Asking) -> None:
        await asking.ask("a1", "a2", "a3", "a4", "b1", "b2", "c1")
        await asking.end(7)

    assert run(Line(1, 8), story).turns == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


def test_a_full_line_has_room_for_who_has_less_in_it() -> None:
    async def story(asking: Asking) -> None:
        await asking.ask("a1", "a2", "a3", "a4", "a5", "a6")
        assert asking.refused == ["a6"], "of its own it makes room for none"
        await asking.ask("b1", "c1", "d1")
        assert asking.refused == ["a6", "a5", "a4", "a3"]
        await asking.ask("e1", "b2")
        assert asking.refused[4:] == ["e1", "b2"], "each has one"
        await asking.end(5)

    assert run(Line(1, 4), story).turns == ["a1", "a2", "b1", "c1", "d1"]


def test_who_leaves_is_not_called_and_leaves_no_gap() -> None:
    async def story(asking: Asking) -> None:
        await asking.ask("a1")
        with anyio.move_on_after(0.01):
            await asking._one("b1")
        await asking.ask("c1")
        await asking.end()
        assert asking.turns == ["a1", "c1"]

    run(Line(1, 1), story)


@pytest.mark.parametrize("keys", [True, False])
def test_a_caller_is_known_by_the_key_or_the_address(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, keys: bool
) -> None:
    secret = "a-key-of-the-tests-4711"
    settings = Settings(api_keys=secret) if keys else Settings()
    served, callers = build_api(pipeline, settings), []
    placed = served.line.place
    monkeypatch.setattr(
        served.line, "place", lambda caller: (callers.append(caller), placed(caller))[1]
    )
    headers = {"Authorization": f"Bearer {secret}"} if keys else {}
    with TestClient(served.app, headers=headers, base_url=HERE) as client:
        assert client.post("/v1/search", json={"question": "What?"}).status_code == 200
    assert callers == ["key 1" if keys else "testclient"]
