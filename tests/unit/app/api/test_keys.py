"""Who may ask, and how often."""

import pytest
from fastapi.testclient import TestClient

from app.api.application import build_api
from app.api.keys import Keys, Rates
from app.errors import InvalidSettings
from app.pipeline import Pipeline
from app.settings import Settings, load_settings
from tests.served_here import HERE

KEYS = ("0123456789abcdef", "another-key-of-mine")


def test_a_key_is_known_by_all_of_it() -> None:
    keys = Keys(KEYS)
    assert [keys.number(key) for key in KEYS] == [1, 2]
    for wrong in ("", "0123456789abcde", "0123456789abcdeF", "0123456789abcdefg", "ä\udcff"):
        assert keys.number(wrong) is None
    assert keys and not Keys(())
    assert KEYS[0] not in str(vars(keys))


def test_a_bucket_fills_again() -> None:
    clock = [0.0]
    rates = Rates(60, now=lambda: clock[0])
    assert [rates.wait("me") for _ in range(60)] == [0] * 60
    assert rates.wait("me") == 1
    assert rates.wait("you") == 0
    clock[0] = 2.0
    assert [rates.wait("me"), rates.wait("me"), rates.wait("me")] == [0, 0, 1]
    slow = Rates(2, now=lambda: clock[0])
    assert [slow.wait("me") for _ in range(3)] == [0, 0, 30]


def test_callers_that_have_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.keys._KEPT_BUCKETS", 3)
    clock = [0.0]
    rates = Rates(60, now=lambda: clock[0])
    for number in range(4):
        rates.wait(f"caller {number}")
    clock[0] = 60.0
    rates.wait("the last")
    assert list(rates._buckets) == ["the last"]


def test_without_a_key_nothing_but_health_is_open(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(api_keys=",".join(KEYS))
    with TestClient(build_api(pipeline, settings).app, base_url=HERE) as client:
        for path in ("/v1/models", "/v1/passages/p:paris", "/metrics"):
            for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEYS[0]}):
                refused = client.get(path, headers=given)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
                assert refused.headers["content-type"] == "application/problem+json"
            for key in KEYS:
                fine = client.get(path, headers={"Authorization": f"Bearer {key}"})
                assert fine.status_code == 200
        assert client.post("/v1/ask", content=b"x" * 10).status_code == 401
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    assert not any(key in caplog.text for key in KEYS)


def test_who_asks_too_often_is_told_when_to_come_again(pipeline: Pipeline) -> None:
    settings = Settings(api_keys=",".join(KEYS), api_requests_per_minute=2)
    with TestClient(build_api(pipeline, settings).app, base_url=HERE) as client:
        mine, other = ({"Authorization": f"Bearer {key}"} for key in KEYS)
        assert [client.get("/v1/models", headers=mine).status_code for _ in "ab"] == [200, 200]
        refused = client.get("/v1/models", headers=mine)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert client.get("/v1/models", headers=other).status_code == 200
        assert client.get("/metrics", headers=mine).status_code == 200


@pytest.mark.parametrize("keys", ["short", "0123456789abcdef,with a space in it", "x" * 257])
def test_a_key_that_would_not_protect_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    monkeypatch.setenv("KBVQA_API_KEYS", keys)
    with pytest.raises(InvalidSettings, match=r"KBVQA_API_KEYS: key \d") as refused:
        load_settings()
    assert not any(key in str(refused.value) for key in keys.split(","))
