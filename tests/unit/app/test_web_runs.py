"""Stopping the answers of one session and of no other."""

from types import SimpleNamespace

import gradio as gr
import pytest

from app.web import _Runs


def session(name: str) -> gr.Request:
    return SimpleNamespace(session_hash=name)  # type: ignore[return-value]


def test_an_answer_is_stopped_by_its_own_session_alone() -> None:
    runs = _Runs()
    with runs.started(session("a")) as one, runs.started(session("b")) as other:
        runs.stop(session("c"))
        assert not one.is_set() and not other.is_set()
        runs.stop(session("a"))
        assert one.is_set() and not other.is_set()


def test_what_has_ended_cannot_be_stopped_and_stops_nothing_later() -> None:
    runs = _Runs()
    with runs.started(session("a")):
        pass
    runs.stop(session("a"))
    with runs.started(session("a")) as later:
        assert not later.is_set()


def test_an_answer_that_breaks_off_is_forgotten() -> None:
    runs = _Runs()
    with pytest.raises(RuntimeError), runs.started(session("a")) as broken:
        raise RuntimeError
    runs.stop(session("a"))
    assert not broken.is_set()
