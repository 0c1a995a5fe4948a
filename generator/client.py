"""An OpenAI-compatible server as the generator, over HTTP. The one place that knows httpx.

Completions are streamed as server-sent events. Every failure of the transport and of
the protocol leaves here as one of generator.errors; no message contains the API key.
"""

import base64
import io
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import httpx
from PIL.Image import Image, Resampling

from generator.errors import BadCompletion, GeneratorError, GeneratorTimeout, GeneratorUnavailable
from generator.interface import MAX_TOKENS
from generator.prompts import Message, one_line, render_text

MAX_IMAGE_SIDE = 1024
# One event of a stream is far shorter; what is longer does not come from a generator.
MAX_EVENT_BYTES = 1_000_000
RETRY_STATUSES = frozenset({502, 503})


class OpenAIGenerator:
    """A model behind an OpenAI-compatible server, such as vLLM.

    Args:
        base_url: with the version, for example "http://127.0.0.1:8000/v1".
        model: the name under which the server serves it.
        api_key: sent as a bearer token; None sends none.
        api: "chat" sends the messages and the picture; "completions" sends plain text
            without the picture, for a base model.
        timeout_s: for the whole completion, retries included.
        connect_timeout_s: for reaching the server, and for `health`.
        attempts: tries in all when the server is not reached or answers 502 or 503.
        backoff_s: mean wait before the second try; it doubles before each further one.

    Raises:
        GeneratorUnavailable: `base_url` or `api_key` cannot be used at all.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        api: Literal["chat", "completions"] = "chat",
        timeout_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        attempts: int = 3,
        backoff_s: float = 0.5,
    ) -> None:
        if api not in ("chat", "completions"):
            raise ValueError(f"api must be 'chat' or 'completions', not {api!r}")
        self.name = model
        self._api = api
        self._url, self._shown_url = _checked_url(base_url)
        self._key = _checked_key(api_key)
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
            # A kept connection that the server has just dropped looks like a failure, and
            # opening one costs nothing next to a completion.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def stream(self, messages: Sequence[Message], *, max_tokens: int = MAX_TOKENS) -> Iterator[str]:
        """Yield the first line of the completion in pieces; closing it ends the request.

        Raises:
            GeneratorUnavailable: not reached, wrong key or model, or a server error.
            GeneratorTimeout: not complete after `timeout_s`.
            BadCompletion: refused as too long, cut short, empty, or not the protocol.
        """
        deadline = time.monotonic() + self._timeout_s
        path, payload = self._request(messages, max_tokens)
        with self._open(path, payload, deadline) as response:
            started = False
            for piece in self._pieces(response, deadline):
                # Chat models may begin with an empty line.
                text = piece if started else piece.lstrip()
                line, newline, _ = text.partition("\n")
                if line:
                    started = True
                    yield line
                if newline:
                    return
            if not started:
                raise BadCompletion(f"{self._where} wrote nothing. Ask again or rephrase.")

    def health(self) -> str:
        """Return one line on what answers, after checking that it serves the model.

        Raises:
            GeneratorError: it would not answer now.
        """
        if self.name not in (served := self._served_models()):
            raise GeneratorUnavailable(_wrong_model(self._shown_url, self.name, served))
        return f"{self._where} ({self._api})"

    @property
    def _where(self) -> str:
        return f"{self.name} at {self._shown_url}"

    def _request(self, messages: Sequence[Message], max_tokens: int) -> tuple[str, dict[str, Any]]:
        payload = {"model": self.name, "max_tokens": max_tokens, "temperature": 0, "stream": True}
        if self._api == "completions":
            return "/completions", {**payload, "prompt": render_text(messages), "stop": ["\n"]}
        return "/chat/completions", {**payload, "messages": [_chat_message(m) for m in messages]}

    @contextmanager
    def _open(self, path: str, payload: Any, deadline: float) -> Iterator[httpx.Response]:
        """Send the request and give the response, which is an event stream."""
        request = self._http.build_request("POST", self._url + path, json=payload)
        response = self._send(request, deadline)
        try:
            if not response.is_success:
                raise self._status_error(response)
            kind = response.headers.get("content-type", "nothing")
            if not kind.startswith("text/event-stream"):
                raise GeneratorUnavailable(
                    f"{self._shown_url} answered with {kind[:80]} where an event stream was "
                    "expected. Check that the URL is an OpenAI-compatible server's; it usually "
                    "ends in /v1."
                )
            yield response
        finally:
            response.close()

    def _send(self, request: httpx.Request, deadline: float) -> httpx.Response:
        for attempt in range(1, self._attempts + 1):
            pause_s = self._backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
            last = attempt == self._attempts or time.monotonic() + pause_s >= deadline
            try:
                response = self._http.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                if last:
                    raise self._transport_error(exc) from exc
            except httpx.HTTPError as exc:
                raise self._transport_error(exc) from exc
            else:
                if last or response.status_code not in RETRY_STATUSES:
                    return response
                response.close()
            time.sleep(pause_s)
        raise ValueError(f"attempts must be 1 or more, not {self._attempts}")

    def _pieces(self, response: httpx.Response, deadline: float) -> Iterator[str]:
        """Yield the pieces of text in the events of `response`."""
        for data in self._events(response, deadline):
            if data == "[DONE]":
                return
            try:
                piece, finished = _read_event(json.loads(data))
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                raise BadCompletion(
                    f"{self._where} sent an event that is not a completion: "
                    f"{self._clean(_error_text(data))}. Ask again, or look at the server's log."
                ) from exc
            yield piece
            if finished:
                return
        raise BadCompletion(f"{self._where} broke off in the middle of its answer. Ask again.")

    def _events(self, response: httpx.Response, deadline: float) -> Iterator[str]:
        """Yield the data of each server-sent event. Bounds its time and its size."""
        buffer = b""
        try:
            for chunk in response.iter_bytes():
                *lines, buffer = (buffer + chunk).split(b"\n")
                if time.monotonic() > deadline:
                    raise self._timeout()
                if len(buffer) > MAX_EVENT_BYTES:
                    raise BadCompletion(f"{self._where} sent an event without end. Ask again.")
                for line in lines:
                    field, _, value = line.decode().partition(":")
                    if field == "data":
                        yield value.strip()
        except UnicodeDecodeError as exc:
            raise BadCompletion(f"{self._where} sent text that is not UTF-8. Ask again.") from exc
        except httpx.TimeoutException as exc:
            raise self._timeout() from exc
        except httpx.HTTPError as exc:
            raise BadCompletion(
                f"{self._where} broke off in the middle of its answer ({exc}). Ask again."
            ) from exc

    def _served_models(self) -> list[str]:
        try:
            response = self._http.get(f"{self._url}/models", timeout=self._connect_timeout_s)
        except httpx.HTTPError as exc:
            raise self._transport_error(exc) from exc
        if not response.is_success:
            raise self._status_error(response)
        try:
            return [str(entry["id"]) for entry in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise GeneratorUnavailable(
                f"{self._shown_url}/models is not a list of models. Check that the URL is an "
                "OpenAI-compatible server's; it usually ends in /v1."
            ) from exc

    def _status_error(self, response: httpx.Response) -> GeneratorError:
        """Return the error for a response that is no success, with the server's reason."""
        status = response.status_code
        try:
            response.read()
            reason = self._clean(_error_text(response.text)) or response.reason_phrase
        except httpx.HTTPError:
            reason = response.reason_phrase
        said = f"{self._shown_url} answered {status}: {reason}."
        if status in (401, 403):
            sent = "refused the API key" if self._key else "wants an API key"
            return GeneratorUnavailable(f"{said} It {sent}; check the key that is set.")
        if status == 404 and not response.url.path.endswith("/models"):
            return self._not_found()
        if response.is_redirect:
            target = self._clean(response.headers.get("location", ""))
            return GeneratorUnavailable(f"{said} It redirects to {target!r}; set that URL.")
        if status in (400, 413, 422):
            return BadCompletion(f"{said} If the prompt is too long, use fewer passages.")
        if status in (408, 504):
            return GeneratorTimeout(f"{said} Ask again, or look at the server's load.")
        if status == 429:
            return GeneratorUnavailable(f"{said} It is busy or a quota is used up; wait.")
        return GeneratorUnavailable(f"{said} Look at the server's log.")

    def _not_found(self) -> GeneratorError:
        try:
            served = self._served_models()
        except GeneratorError:
            served = []
        if not served or self.name in served:
            return GeneratorUnavailable(
                f"{self._shown_url} has no {self._api} API for {self.name!r} (404). "
                "Check the URL; it usually ends in /v1."
            )
        return GeneratorUnavailable(_wrong_model(self._shown_url, self.name, served))

    def _transport_error(self, exc: httpx.HTTPError) -> GeneratorError:
        if isinstance(exc, httpx.ConnectTimeout):
            return GeneratorTimeout(
                f"{self._shown_url} was not reached in {self._connect_timeout_s:g} s. "
                "Check the URL and the network."
            )
        if isinstance(exc, httpx.TimeoutException):
            return self._timeout()
        return GeneratorUnavailable(
            f"{self._shown_url} is not reached: {self._clean(str(exc))}. "
            "Check the URL, and that the server runs."
        )

    def _timeout(self) -> GeneratorTimeout:
        return GeneratorTimeout(
            f"{self._where} did not finish within {self._timeout_s:g} s. "
            "Ask again, or allow it more time."
        )

    def _clean(self, text: str) -> str:
        """Return what a server said on one line, short, and without the key if it echoes it."""
        text = text.replace(self._key, "***") if self._key else text
        return one_line(text)[:300].rstrip(" .")


def _read_event(event: Any) -> tuple[str, bool]:
    """Return the text in one event of a stream, and whether it is the last."""
    if not event["choices"]:
        return "", False
    choice = event["choices"][0]
    # Chat has a delta; its content is null in the event that opens the turn.
    text = (choice["delta"].get("content") if "delta" in choice else choice["text"]) or ""
    if not isinstance(text, str):
        raise TypeError(f"the text is {text!r}")
    return text, bool(choice.get("finish_reason"))


def image_data_uri(image: Image) -> str:
    """Return `image` as a JPEG data URI, its longest side at most MAX_IMAGE_SIDE pixels."""
    small = image.convert("RGB")
    small.thumbnail((MAX_IMAGE_SIDE, MAX_IMAGE_SIDE), Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _chat_message(message: Message) -> dict[str, Any]:
    if message.image is None:
        return {"role": message.role, "content": message.text}
    picture = {"type": "image_url", "image_url": {"url": image_data_uri(message.image)}}
    return {"role": message.role, "content": [picture, {"type": "text", "text": message.text}]}


def _checked_url(base_url: str) -> tuple[str, str]:
    """Return `base_url` to use and to show: the shown one has no user and password."""
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
    except httpx.InvalidURL as exc:
        raise GeneratorUnavailable(f"The generator URL {base_url!r} is not a URL: {exc}.") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise GeneratorUnavailable(
            f"The generator URL {base_url!r} must begin with http:// or https:// and a host, "
            "such as http://127.0.0.1:8000/v1."
        )
    return str(url), str(url.copy_with(userinfo=b""))


def _checked_key(api_key: str | None) -> str | None:
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise GeneratorUnavailable(
            "The generator's API key has characters that a header cannot carry. Set it again."
        )
    return key or None


def _wrong_model(url: str, model: str, served: Sequence[str]) -> str:
    names = ", ".join(one_line(name)[:80] for name in served[:8]) or "none"
    return f"{url} does not serve the model {model!r}. Set one that it serves: {names}."


def _error_text(body: str) -> str:
    """Return the message in an error body, or the body itself when it is not JSON."""
    try:
        error = json.loads(body)
        error = error.get("error", error.get("detail", error))
        return str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        return body
