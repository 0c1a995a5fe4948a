"""What can go wrong with a server, as errors with what to do about it. Knows no HTTP library.

Messages name the server and what it said, on one line and cut; never the API key.
"""

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from generator.errors import (
    BadCompletion,
    EmptyCompletion,
    GeneratorError,
    GeneratorTimeout,
    GeneratorUnavailable,
)
from generator.quoting import one_line
from generator.server.dialect import says_too_long

_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml|center|h1)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_PICTURE = re.compile(r"image|picture|vision|visual|multi-?modal|mmproj", re.IGNORECASE)


class Refusal(Exception):
    """A server's refusal, or an error that it reports in place of an answer.

    Attributes:
        status: of the response, or what the error calls its code; 0 for none.
        said: in the server's own words.
        location: where it redirects to.
        wait_s: for how long it asks to wait; None where it does not say.
    """

    def __init__(
        self, status: int, body: str, location: str | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(body)
        self.status, self.said = status, error_text(body)
        self.location, self.wait_s = location or "", wait_s

    @property
    def is_about_pictures(self) -> bool:
        """Return whether its words say that it is for a picture."""
        return _PICTURE.search(self.said) is not None

    @property
    def is_of_a_picture(self) -> bool:
        """Return whether it refuses a picture as one that it cannot use."""
        return self.status in (0, 400, 415, 422) and self.is_about_pictures


@dataclass(frozen=True, slots=True)
class Faults:
    """The errors of one server.

    Attributes:
        model: the name of the model.
        api: "chat" or "completions".
        shown_url: the URL without user, password and query.
        key: what is sent as the key, so that it can be kept out of messages.
        timeout_s: for a whole call.
        connect_timeout_s: for reaching the server.
        proxy: through which it is reached; None for directly.
        extra: names of what was set for the server beyond the protocol.
    """

    model: str
    api: str
    shown_url: str
    key: str | None = field(repr=False)
    timeout_s: float
    connect_timeout_s: float
    proxy: str | None = None
    extra: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Return the model and its server."""
        return f"{self.model} at {self.shown_url}"

    @property
    def _through(self) -> str:
        return f" through the proxy {shown_url(self.proxy)}" if self.proxy else ""

    def _clean(self, text: str) -> str:
        """Return what a server said on one line, short, and without the key if it echoes it."""
        line = one_line(text.replace(self.key, "***") if self.key else text)
        return line if len(line) <= 300 else f"{line[:300]}..."

    def refused(self, refusal: Refusal, served: Sequence[str] = ()) -> GeneratorError:
        """Return the error for a refusal; for a 404 given the models that the server lists."""
        status = refusal.status
        words = self._clean(refusal.said) or "nothing"
        answered = f"answered {status}" if status else "answered with an error"
        said = f"{self.shown_url}{self._through} {answered}: {words.rstrip('.')}."
        if 300 <= status < 400:
            target = self._clean(refusal.location)
            return GeneratorUnavailable(f"{said} It redirects to {target!r}; set that URL.")
        if status == 404 and served and self.model not in served:
            return self.wrong_model(served)
        if says_too_long(refusal.said):
            return BadCompletion(f"{said} Use fewer passages, or less of them.")
        if named := [name for name in self.extra if re.search(rf"\b{name}\b", refusal.said)]:
            return BadCompletion(f"{said} {named[0]} is set in KBVQA_GENERATOR_EXTRA_BODY.")
        if self.proxy and status in (502, 503):
            return self.not_reached(f"{status}, {words}")
        kind, advice = self._advice(status, refusal.wait_s)
        return kind(f"{said} {advice}")

    def without_picture(self, refusal: Refusal) -> str:
        """Return what is said where a picture is refused and its text is sent without it."""
        words = self._clean(refusal.said).rstrip(".")
        return f"{self.where} refused the picture: {words}. It is asked without: text only."

    def _advice(self, status: int, wait_s: float | None) -> tuple[type[GeneratorError], str]:
        """Return what a status means, and what to do."""
        key = (
            "It refused the API key; check the key that is set."
            if self.key
            else "It wants an API key, and none is set; set one."
        )
        may = "the API key and what it may use" if self.key else "whether it wants an API key"
        wait = f"; it asks to wait {wait_s:,.0f} s" if wait_s else ""
        advice: dict[int, tuple[type[GeneratorError], str]] = {
            401: (GeneratorUnavailable, key),
            402: (GeneratorUnavailable, "A quota may be used up."),
            403: (GeneratorUnavailable, f"It does not allow this: check {may}."),
            404: (
                GeneratorUnavailable,
                f"Check the model's name, {self.model!r}, and the URL; it usually ends in /v1.",
            ),
            407: (GeneratorUnavailable, "The proxy wants a user and password in its URL."),
            408: (GeneratorTimeout, "Ask again, or look at the server's load."),
            413: (
                BadCompletion,
                "The request is too large for it: set KBVQA_GENERATOR_IMAGE_PIXELS lower, or "
                "allow larger requests there.",
            ),
            429: (GeneratorUnavailable, f"It is busy or a quota is used up{wait}; ask later."),
            504: (GeneratorTimeout, "Ask again, or look at the server's load."),
        }
        if status in advice:
            return advice[status]
        if status < 500:
            return BadCompletion, "Look at the server's log, or try other settings."
        return GeneratorUnavailable, f"Look at the server's log{wait}."

    def wrong_model(self, served: Sequence[str]) -> GeneratorError:
        """Return the error for a model that is not served."""
        names = ", ".join(one_line(name)[:80] for name in served[:8]) or "none"
        return GeneratorUnavailable(
            f"{self.shown_url} does not serve the model {self.model!r}. "
            f"Set one that it serves: {names}."
        )

    def not_events(self, kind: str) -> GeneratorError:
        """Return the error for a success that is no event stream, such as a web page."""
        return GeneratorUnavailable(
            f"{self.shown_url} answered with {self._clean(kind)[:80]} where an event stream was "
            "expected. Check that the URL is an OpenAI-compatible server's; it usually ends in /v1."
        )

    def not_reached(self, reason: str) -> GeneratorError:
        """Return the error for a server that does not take the connection, or drops it."""
        check = "the URL, the proxy" if self.proxy else "the URL"
        return GeneratorUnavailable(
            f"{self.shown_url} is not reached{self._through}: {self._clean(reason).rstrip('.')}. "
            f"Check {check}, and that the server runs."
        )

    def connect_timeout(self) -> GeneratorError:
        """Return the error for a server that does not answer the connection."""
        return GeneratorTimeout(
            f"{self.shown_url} was not reached{self._through} in {self.connect_timeout_s:g} s. "
            "Check the URL and the network."
        )

    def gone(self) -> GeneratorError:
        """Return the error for a server that is left alone, as it did not answer."""
        return GeneratorUnavailable(
            f"{self.shown_url} did not answer{self._through} several times in a row, and is asked "
            "again in a few seconds. Check the URL and the network, and that the server runs."
        )

    def silent(self) -> GeneratorError:
        """Return the error for a server that says nothing where that costs it nothing."""
        return self.not_reached(f"it says nothing within {self.connect_timeout_s:g} s")

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

    def empty(self, lack: str = "") -> GeneratorError:
        """Return the error for a completion without text, given why where that is known."""
        return EmptyCompletion(f"{self.where} wrote nothing. {lack or 'Ask again or rephrase.'}")

    def no_choice(self, said: str, lack: str) -> GeneratorError:
        """Return the error for a reply that is none of the choices it was asked for."""
        return BadCompletion(f"{self.where} wrote {self._clean(said)}. {lack}".rstrip())

    def lack(self, *, thought: bool, finish: str, refusal: str, tokens: int) -> str:
        """Return why a completion has no text, and what to do; "" where that is not known."""
        if refusal:
            return f"It refuses: {self._clean(refusal)}."
        if thought:
            return (
                f"Its {tokens} tokens went into thinking. Switch that off with "
                "KBVQA_GENERATOR_EXTRA_BODY, for many models "
                '{"chat_template_kwargs": {"enable_thinking": false}}, or allow more tokens with '
                "KBVQA_GENERATOR_MAX_TOKENS."
            )
        if finish == "content_filter":
            return "A filter of the server held it back."
        return ""

    def not_a_completion(self, what: str) -> GeneratorError:
        """Return the error for a reply of another shape."""
        said = self._clean(error_text(what))
        return BadCompletion(
            f"{self.where} sent something that is not a completion: {said}. "
            "Ask again, or look at the server's log."
        )


def checked_url(base_url: str) -> tuple[str, str]:
    """Return `base_url` to use and to show: the shown one has no user, password and query.

    Raises:
        GeneratorUnavailable: it is no http or https URL, or has a fragment.
    """
    text = base_url.strip()
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
    if "#" in text:
        raise GeneratorUnavailable(
            f"The generator URL {shown_url(text)!r} has a part after '#', which is not sent to "
            "a server. Leave it out."
        )
    text = urlunsplit(parts._replace(path=parts.path.rstrip("/")))
    return text, shown_url(text)


def url_of(base_url: str, path: str) -> str:
    """Return the URL of a path below `base_url`, with its query.

    >>> url_of("http://h/v1?api-version=2", "/models")
    'http://h/v1/models?api-version=2'
    """
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=f"{parts.path}{path}"))


def shown_url(url: str) -> str:
    """Return a URL without what may be secret: user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="", fragment=""))


def checked_proxy(proxy: str | None) -> str | None:
    """Return the URL of a proxy, None for an empty one.

    Raises:
        GeneratorUnavailable: it is no proxy's URL, or what speaks to it is not installed.
    """
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise GeneratorUnavailable(f"The generator's proxy is not a URL: {exc}.") from exc
    if parts.scheme not in ("http", "https", "socks5", "socks5h") or not host:
        raise GeneratorUnavailable(
            f"The generator's proxy {shown_url(proxy)!r} must begin with http://, https:// or "
            "socks5:// and a host."
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise GeneratorUnavailable(
            f"The generator's proxy {shown_url(proxy)} speaks SOCKS, which needs a package: "
            "pip install socksio. Or set the URL of an HTTP proxy."
        )
    return proxy


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


def error_of(document: Mapping[str, Any]) -> Refusal | None:
    """Return the refusal in a reply that came as a success; None where it is none."""
    error = document.get("error")
    if not error and (document.get("choices") or not _says_error(document)):
        return None
    places = [error, document] if isinstance(error, dict) else [document]
    codes = [str(place.get(name)) for place in places for name in ("code", "status", "status_code")]
    status = next((int(code) for code in codes if re.fullmatch("[345][0-9][0-9]", code)), 0)
    return Refusal(status, json.dumps(document))


def _says_error(document: Mapping[str, Any]) -> bool:
    kinds = (document.get("object"), document.get("type"))
    return "error" in kinds or ("detail" in document and "choices" not in document)


def error_text(body: str) -> str:
    """Return the message in an error body, or the body itself when it is not JSON.

    >>> error_text('{"error": {"message": "unknown field", "param": "stop"}}')
    'unknown field (stop)'
    >>> error_text('{"error": true, "message": "out of memory"}')
    'out of memory'
    >>> error_text('{"error": "Bad Request", "message": "no such option"}')
    'Bad Request: no such option'
    >>> error_text("<html><head><title>413 Too Large</title></head></html>")
    'a web page: 413 Too Large'
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        if not _HTML.match(body):
            return body
        title = _TITLE.search(body)
        return f"a web page: {title[1].strip()}" if title else "a web page"
    if isinstance(parsed, list) and parsed:  # as Gemini's endpoint wraps it
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return _said(parsed)
    # Some have a name for the error and its message beside it, or that it is one as true or 1.
    told = [parsed.get(name) for name in ("error", "message", "detail", "error_description")]
    parts = list(dict.fromkeys(_said(part) for part in told if part and not _bare(part)))
    if isinstance(parsed.get("error"), dict):  # it has its own
        parts = parts[:1]
    return ": ".join(parts) or str(parsed)


def _said(error: Any) -> str:
    """Return what one value of an error body says."""
    if isinstance(error, list):  # FastAPI's: what is wrong, place by place
        return "; ".join(_at_place(entry) for entry in error)
    if not isinstance(error, dict):
        return str(error)
    said = str(error.get("message") or error)
    param = error.get("param")
    return f"{said} ({param})" if param and str(param) not in said else said


def _bare(value: Any) -> bool:
    """Return whether a value says that there is an error, and nothing of it."""
    return isinstance(value, bool | int | float)


def _at_place(entry: Any) -> str:
    if not isinstance(entry, dict) or "msg" not in entry:
        return str(entry)
    place = ".".join(str(part) for part in entry.get("loc") or ())
    return f"{place}: {entry['msg']}"
