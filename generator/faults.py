"""What can go wrong with a server, as errors with what to do about it. Knows no HTTP library.

Messages name the server and what it said, on one line and cut; never the API key.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from generator.errors import (
    BadCompletion,
    EmptyCompletion,
    GeneratorError,
    GeneratorTimeout,
    GeneratorUnavailable,
)
from generator.passages import one_line


@dataclass(frozen=True, slots=True)
class Faults:
    """The errors of one server.

    Attributes:
        model: the name of the model.
        api: "chat" or "completions".
        shown_url: the URL without user and password.
        key: what is sent as the key, so that it can be kept out of messages.
        timeout_s: for a whole call.
        connect_timeout_s: for reaching the server.
    """

    model: str
    api: str
    shown_url: str
    key: str | None = field(repr=False)
    timeout_s: float
    connect_timeout_s: float

    @property
    def where(self) -> str:
        """Return the model and its server."""
        return f"{self.model} at {self.shown_url}"

    def _clean(self, text: str) -> str:
        """Return what a server said on one line, short, and without the key if it echoes it."""
        line = one_line(text.replace(self.key, "***") if self.key else text)
        return line if len(line) <= 300 else f"{line[:300]}..."

    def status(self, status: int, body: str, location: str = "") -> GeneratorError:
        """Return the error for a response that is no success."""
        said = f"{self.shown_url} answered {status}: {self._clean(error_text(body)) or 'nothing'}."
        if status in (401, 403):
            advice = (
                "It refused the API key; check the key that is set."
                if self.key
                else "It wants an API key, and none is set; set one."
            )
            return GeneratorUnavailable(f"{said} {advice}")
        if 300 <= status < 400:
            target = self._clean(location)
            return GeneratorUnavailable(f"{said} It redirects to {target!r}; set that URL.")
        if status in (400, 413, 422):
            return BadCompletion(f"{said} If the prompt is too long, use fewer passages.")
        if status in (408, 504):
            return GeneratorTimeout(f"{said} Ask again, or look at the server's load.")
        if status == 429:
            return GeneratorUnavailable(f"{said} It is busy or a quota is used up; wait.")
        return GeneratorUnavailable(f"{said} Look at the server's log.")

    def not_found(self, served: Sequence[str]) -> GeneratorError:
        """Return the error for a 404, given the models that the server lists, if any."""
        if not served or self.model in served:
            return GeneratorUnavailable(
                f"{self.shown_url} has no {self.api} API for {self.model!r} (404). "
                "Check the URL; it usually ends in /v1."
            )
        return self.wrong_model(served)

    def wrong_model(self, served: Sequence[str]) -> GeneratorError:
        """Return the error for a model that is not served."""
        names = ", ".join(one_line(name)[:80] for name in served[:8]) or "none"
        return GeneratorUnavailable(
            f"{self.shown_url} does not serve the model {self.model!r}. "
            f"Set one that it serves: {names}."
        )

    def no_models(self) -> GeneratorError:
        """Return the error for a list of models that is none."""
        return GeneratorUnavailable(
            f"{self.shown_url}/models is not a list of models. Check that the URL is an "
            "OpenAI-compatible server's; it usually ends in /v1."
        )

    def not_events(self, kind: str) -> GeneratorError:
        """Return the error for a success that is no event stream, such as a web page."""
        return GeneratorUnavailable(
            f"{self.shown_url} answered with {self._clean(kind)[:80]} where an event stream was "
            "expected. Check that the URL is an OpenAI-compatible server's; it usually ends in /v1."
        )

    def not_reached(self, reason: str) -> GeneratorError:
        """Return the error for a server that does not take the connection, or drops it."""
        return GeneratorUnavailable(
            f"{self.shown_url} is not reached: {self._clean(reason).rstrip('.')}. "
            "Check the URL, and that the server runs."
        )

    def connect_timeout(self) -> GeneratorError:
        """Return the error for a server that does not answer the connection."""
        return GeneratorTimeout(
            f"{self.shown_url} was not reached in {self.connect_timeout_s:g} s. "
            "Check the URL and the network."
        )

    def timeout(self) -> GeneratorError:
        """Return the error for a call that took too long."""
        return GeneratorTimeout(
            f"{self.where} did not finish within {self.timeout_s:g} s. "
            "Ask again, or allow it more time."
        )

    def broke_off(self, reason: str = "") -> GeneratorError:
        """Return the error for a stream that ended too early."""
        why = f" ({self._clean(reason).rstrip('.')})" if reason else ""
        return BadCompletion(f"{self.where} broke off in the middle of its answer{why}. Ask again.")

    def endless(self, limit: str) -> GeneratorError:
        """Return the error for a reply that goes on and on."""
        return BadCompletion(f"{self.where} sent a reply without end ({limit}). Ask again.")

    def not_utf8(self) -> GeneratorError:
        """Return the error for bytes that are no text."""
        return BadCompletion(f"{self.where} sent text that is not UTF-8. Ask again.")

    def empty(self) -> GeneratorError:
        """Return the error for a completion without text."""
        return EmptyCompletion(f"{self.where} wrote nothing. Ask again or rephrase.")

    def not_a_completion(self, what: str) -> GeneratorError:
        """Return the error for a reply of another shape."""
        said = self._clean(error_text(what))
        return BadCompletion(
            f"{self.where} sent something that is not a completion: {said}. "
            "Ask again, or look at the server's log."
        )


def checked_url(base_url: str) -> tuple[str, str]:
    """Return `base_url` to use and to show: the shown one has no user and password.

    Raises:
        GeneratorUnavailable: it is no http or https URL.
    """
    text = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise GeneratorUnavailable(f"The generator URL {base_url!r} is not a URL: {exc}.") from exc
    if parts.scheme not in ("http", "https") or not host or not text.isprintable():
        raise GeneratorUnavailable(
            f"The generator URL {base_url!r} must begin with http:// or https:// and a host, "
            "such as http://127.0.0.1:8000/v1."
        )
    return text, urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def checked_key(api_key: str | None) -> str | None:
    """Return the key without white space around it, None for an empty one.

    Raises:
        GeneratorUnavailable: it has characters that a header cannot carry.
    """
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise GeneratorUnavailable(
            "The generator's API key has characters that a header cannot carry. Set it again."
        )
    return key or None


def error_text(body: str) -> str:
    """Return the message in an error body, or the body itself when it is not JSON."""
    try:
        error = json.loads(body)
        error = error.get("error", error.get("detail", error))
        return str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        return body
