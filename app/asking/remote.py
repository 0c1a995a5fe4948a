"""A server that `kbvqa web` runs, asked over HTTP. Only here app knows httpx.

    said = ask_server("http://127.0.0.1:7860", Path("flag.png"), {"question": "What is this?"})
    print(said["answer"])

Its proxy is the environment's (app.machine.network); what it refuses becomes an error with its own
words. Anything may answer at an address: what is not as `app.asking.report.result_as_json` has it
is no result.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from app.errors import InvalidSettings, ServerRefused, ServerUnavailable
from app.machine import network
from corpus.pictures.images import bytes_of

# A question may wait for its turn, and a generator take its time.
_ANSWER_SECONDS = 600.0
_CONNECT_SECONDS = 10.0


def ask_server(
    url: str,
    picture: Path | None,
    fields: Mapping[str, Any],
    *,
    answer: bool = True,
    key: str | None = None,
) -> dict[str, Any]:
    """Return what a server says to a question, as `kbvqa ask --json` prints it.

    Args:
        url: where its page is.
        picture: the file, which is sent as it is; None for passages without one.
        fields: of the request: "question", and as docs/guide/api.md has them.
        answer: False asks for passages alone.
        key: sent to it.

    Raises:
        InvalidImage: the file cannot be read, or is too large.
        InvalidSettings: it is no URL of a server.
        ServerRefused: the server does not take the question.
        ServerUnavailable: it is not reached, or what answers there is no kbvqa.
    """
    _check(url)
    address = f"{url.rstrip('/')}/v1/{'ask' if answer else 'search'}"
    if picture is None:  # a form without a file would be of another kind
        body: dict[str, Any] = {"json": dict(fields)}
    else:
        form = {**fields, "boxes": [",".join(map(str, box)) for box in fields.get("boxes", ())]}
        body = {"data": form, "files": {"image": bytes_of(picture)[0]}}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
    try:
        with httpx.Client(
            trust_env=False, proxy=network.proxy_for(url), timeout=limits, headers=headers
        ) as client:
            response = client.post(address, **body)
    except httpx.DecodingError as exc:
        raise ServerUnavailable(
            f"{url} says that it packs its answer, and does not ({exc}): is it another program, "
            "or a proxy in front?"
        ) from exc
    except httpx.TransportError as exc:
        raise ServerUnavailable(
            f"{url} is not reached: {exc or type(exc).__name__}. Is `kbvqa web` running there?"
        ) from exc
    return _said(response, url)


class _Hit(BaseModel):
    passage_id: str
    title: str
    section: str
    url: str
    text: str
    score: float


class _Found(BaseModel):
    """What of a result is always there, and is printed."""

    hits: list[_Hit]
    seen: str
    boxes: list[list[int]]
    notes: list[str]
    timings_ms: dict[str, float]
    checkpoint: str


class _Answered(_Found):
    """What is there beside it where there is an answer."""

    answer: str
    citations: list[str]
    reasons: list[str]
    read: list[int]
    confidence: float | None
    verdict: str
    strategy: str
    fitted_on_another_corpus: bool
    saw_picture: bool


def _check(url: str) -> None:
    """Raise InvalidSettings unless a server may have this URL."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        httpx.URL(url).host.encode("idna")  # as the name is looked up
    except (ValueError, httpx.InvalidURL):
        known = False
    if not known:
        raise InvalidSettings(f"{url!r} is no server: give a URL such as http://127.0.0.1:7860")


def _is_result(said: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether something is a result of a question or a search, as it is printed."""
    if not isinstance(said, dict):
        return False
    model = _Found if said.get("answer") is None else _Answered
    try:
        model.model_validate(said, strict=True)
    except ValidationError:
        return False
    return True


def _said(response: httpx.Response, url: str) -> dict[str, Any]:
    """Return the JSON of a response that is one of kbvqa's."""
    try:
        said = response.json()
    except (ValueError, RecursionError):  # no JSON, or no text; or too deep
        said = None
    if response.is_success and _is_result(said):
        return said
    if isinstance(said, dict) and "detail" in said:
        wait = response.headers.get("retry-after")
        told = "again in" in str(said["detail"])
        more = f" (again in {wait} s)" if wait and not told else ""
        if response.status_code == httpx.codes.UNAUTHORIZED:
            more = " Set KBVQA_API_KEYS to it here: the first of them is sent."
        raise ServerRefused(f"{url} says: {said['detail']}{more}")
    raise ServerUnavailable(
        f"{url} answers with status {response.status_code}, and not as `kbvqa web` does: is it "
        "another program, or a proxy in front?"
    )
