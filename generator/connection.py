"""A server that speaks OpenAI's protocol, reached: the one place of the generator that knows httpx.

Requests for one model wait for their turn, are bounded in time and size, and fail as one of
generator.errors; no message contains the API key. Key and proxy are given; of the environment only
SSL_CERT_FILE and SSL_CERT_DIR are heard, for https:// URLs.
"""

import asyncio
import itertools
import json
import logging
import random
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

import httpx

from generator.dialect import Dialect
from generator.errors import GeneratorUnavailable
from generator.events import EventReader
from generator.faults import (
    Faults,
    Refused,
    checked_key,
    checked_proxy,
    checked_url,
    error_of,
    url_of,
)
from generator.protocol import (
    NotACompletion,
    first_choice,
    has_picture,
    parse,
    without_pictures,
)

Api = Literal["chat", "completions"]

# For a whole reply, or one event of a stream: a short answer is far smaller. A stream of thoughts
# may be long: it is bounded by its time.
MAX_RESPONSE_BYTES = 1_000_000
_PATHS = {"chat": "/chat/completions", "completions": "/completions"}
_BUSY = (408, 409, 425, 429)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0
_DONE = "[DONE]"

log = logging.getLogger(__name__)
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry|)\s*:")


class Connection:
    """One model of one server. Used on an event loop, between `open` and `shut`.

    Args as for `client.OpenAIGenerator`.

    Attributes:
        model: the name under which it is served.
        api: "chat" or "completions".
        faults: its errors.
        dialect: how it wants options put.
        sees: its model is known to take pictures: what refuses one is about that one.
        retries: further tries when it is not reached or busy.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api: Api,
        *,
        api_key: str | None,
        proxy: str | None,
        extra_body: dict[str, Any],
        timeout_s: float,
        connect_timeout_s: float,
        retries: int,
        concurrency: int,
    ) -> None:
        self.model, self.api = model, api
        self._url, shown = checked_url(base_url)
        self._trusted = _trusted(self._url)
        self._key, self._proxy = checked_key(api_key), checked_proxy(proxy)
        self.extra_body = extra_body
        self.faults = Faults(
            model, api, shown, self._key, timeout_s, connect_timeout_s, proxy, tuple(extra_body)
        )
        self.dialect = Dialect()
        self.sees = False
        self._timeout_s, self._connect_s = timeout_s, connect_timeout_s
        self.retries, self._concurrency = retries, concurrency
        self._http: httpx.AsyncClient
        self._turns: asyncio.Semaphore

    async def open(self) -> None:
        """Make ready on the running loop; nothing is sent yet."""
        self._turns = asyncio.Semaphore(self._concurrency)
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                verify=self._trusted,
                proxy=self._proxy,
                # A kept connection that the server has just dropped looks like a failure, and
                # opening one costs nothing next to a completion.
                limits=httpx.Limits(max_keepalive_connections=0),
            ),
            # Not compressed: what is bounded is what arrives.
            headers={"Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            # How long a whole call may take is bounded by its turn.
            timeout=httpx.Timeout(None, connect=self._connect_s),
            trust_env=False,
        )

    async def shut(self) -> None:
        """Drop the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """Wait for a turn; bounds the time of everything inside, and names what goes wrong.

        Raises:
            GeneratorError: for every failure of transport or protocol; its cause is `Refused`
                where the server refused.
        """
        faults = self.faults
        try:
            async with asyncio.timeout(self._timeout_s) as limit, self._turns:
                yield Turn(self, limit.when() or 0.0)
        except Refused as exc:
            served = await self.served() if exc.status == 404 else []
            raise faults.refused(exc, served) from exc
        except httpx.ConnectTimeout as exc:
            raise faults.connect_timeout() from exc
        except (httpx.TimeoutException, TimeoutError) as exc:
            raise faults.timeout() from exc
        except httpx.HTTPError as exc:
            raise faults.not_reached(str(exc) or repr(exc)) from exc
        except UnicodeDecodeError as exc:
            raise faults.not_utf8() from exc
        except ResponseTooLong as exc:
            raise faults.endless(str(exc)) from exc
        except (NotACompletion, LookupError, ValueError, TypeError, AttributeError) as exc:
            raise faults.not_a_completion(str(exc)) from exc

    async def models(self) -> list[dict[str, Any]]:
        """Return what the server lists as its models; nothing where it gives no list."""
        try:
            async with asyncio.timeout(self._timeout_s) as limit, self._turns:
                turn = Turn(self, limit.when() or 0.0)
                listed = json.loads(await _body(await turn.send("GET", "/models")))
        except (Refused, httpx.HTTPError, TimeoutError, ValueError, RecursionError):
            return []
        if isinstance(listed, dict):
            listed = listed.get("data") or listed.get("models")
        return [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []

    async def served(self) -> list[str]:
        """Return the names of the models that the server lists; nothing where it gives no list."""
        names = (model.get("id") or model.get("name") for model in await self.models())
        return [str(name) for name in names if name]

    def body(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request: what was set for the server goes over what is asked."""
        return {"model": self.model, **options, **self.extra_body}

    async def head(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """Return the head of a response, its body to come.

        Raises:
            httpx.HTTPError: there is none.
        """
        request = self._http.build_request(method, url_of(self._url, path), json=body)
        return await self._http.send(request, stream=True)


class Turn:
    """The right to ask, until a point in time of the loop's clock."""

    def __init__(self, connection: Connection, until: float) -> None:
        self._connection, self._until = connection, until

    async def reply(self, **options: Any) -> dict[str, Any]:
        """Return the whole reply to a request.

        Raises:
            Refused: the server refuses it, in whatever way it says so.
        """
        async with aclosing(self._chunks(options)) as chunks:
            async for chunk in chunks:
                if chunk is not None:
                    return chunk
        raise NotACompletion("nothing")

    async def events(self, **options: Any) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield the chunks of a streamed completion; in the end None, where the server says so.

        A server that does not stream gives its whole reply as one chunk.

        Raises:
            Refused: as for `reply`.
        """
        async with aclosing(self._chunks({**options, "stream": True})) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _chunks(self, options: dict[str, Any]) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield what comes in answer to options, put as the server takes them."""
        dialect = self._connection.dialect
        path = _PATHS[self._connection.api]
        while True:
            put = dialect.written(options)
            begun = False
            try:
                response = await self.send("POST", path, self._connection.body(put))
                async with aclosing(_documents(response, self._connection.faults)) as documents:
                    async for document in documents:
                        if document is not None and (refused := error_of(document)):
                            raise refused
                        begun = True
                        yield document
                return
            except Refused as exc:
                if begun:
                    raise
                if self._connection.sees and exc.is_of_a_picture and has_picture(options):
                    log.warning("%s", self._connection.faults.without_picture(exc))
                    options = {**options, "messages": without_pictures(options["messages"])}
                elif not dialect.learn(exc.said, options, put):
                    raise

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Return the head of a success; tries again where the server is busy or not reached.

        Raises:
            Refused: it is no success, or asks for a longer wait than there is time.
            httpx.HTTPError: the server is not reached.
        """
        for attempt in itertools.count():
            wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * random.uniform(0.75, 1)
            last = attempt >= self._connection.retries
            try:
                response = await self._connection.head(method, path, body)
            except httpx.TransportError:
                if last or not self._has(wait):
                    raise
            else:
                if response.is_success:
                    return response
                asked = _asked_wait(response)
                wait = asked or wait
                if last or not _may_pass(response.status_code) or not self._has(wait):
                    location = response.headers.get("location")
                    raise Refused(
                        response.status_code, await _body(response), location, asked
                    ) from None
                await response.aclose()
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _has(self, wait_s: float) -> bool:
        return asyncio.get_running_loop().time() + wait_s < self._until


def _trusted(url: str) -> ssl.SSLContext:
    """Return whose certificates are trusted: nobody's where no TLS is spoken.

    Raises:
        GeneratorUnavailable: the files that the environment names for it cannot be used.
    """
    if not url.startswith("https"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx.create_ssl_context()
    except OSError as exc:  # as ssl.SSLError is
        raise GeneratorUnavailable(
            f"What SSL_CERT_FILE or SSL_CERT_DIR names cannot be used as certificates: {exc}. "
            "Correct or unset it."
        ) from exc


async def _documents(
    response: httpx.Response, faults: Faults
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield the JSON objects of a success; None for the mark that nothing more comes."""
    kind = response.headers.get("content-type", "nothing")
    try:
        arriving, streams = response.aiter_bytes(), kind.lower().startswith("text/event-stream")
        if not streams and "html" not in kind.lower():  # some servers name it otherwise
            arriving, streams = await _begins_as_events(arriving)
        if streams:
            async with aclosing(_events(arriving, faults)) as events:
                async for event in events:
                    yield event
            return
        text = await _text(arriving)
        if "json" not in kind.lower() and not text.lstrip().startswith("{"):
            raise faults.not_events(kind)
        document = parse(text)
        if not error_of(document) and first_choice(document) is None:
            raise NotACompletion(text)
        yield document
        yield None
    finally:
        await response.aclose()


async def _begins_as_events(arriving: AsyncIterator[bytes]) -> tuple[AsyncIterator[bytes], bool]:
    """Return bytes as they arrive, and whether they begin as a stream of events does."""
    begun = b""
    async for part in arriving:
        begun += part
        if len(begun.lstrip()) >= len("event:"):
            break

    async def whole() -> AsyncIterator[bytes]:
        yield begun
        async for part in arriving:
            yield part

    return whole(), _FIELD.match(begun) is not None


async def _events(
    arriving: AsyncIterator[bytes], faults: Faults
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield the objects that are sent as events; what else is sent, such as pings, is no chunk.

    Raises:
        NotACompletion: an object is broken, or nothing else was sent.
    """
    reader, other = EventReader(), ""
    some = False
    try:
        async for arrived in arriving:
            for data in reader.feed(arrived):
                if data.startswith(_DONE):
                    yield None
                    return
                if data.startswith("{"):
                    some = True
                    yield parse(data)
                else:
                    other = other or data
            _bound(reader.waiting)
    except httpx.TransportError as exc:
        raise faults.broke_off(str(exc)) from exc
    for data in reader.end():
        try:
            yield None if data.startswith(_DONE) else parse(data)
        except NotACompletion:  # half of one, or none
            other = other or data
            break
        some = True
    if other and not some:
        raise NotACompletion(other)


async def _body(response: httpx.Response) -> str:
    """Return the body of a response."""
    try:
        return await _text(response.aiter_bytes())
    finally:
        await response.aclose()


async def _text(arriving: AsyncIterator[bytes]) -> str:
    data = bytearray()
    async for arrived in arriving:
        data += arrived
        _bound(len(data))
    return data.decode("utf-8", "replace")


def _bound(size: int) -> None:
    if size > MAX_RESPONSE_BYTES:
        raise ResponseTooLong(f"more than {MAX_RESPONSE_BYTES:,} bytes")


class ResponseTooLong(ValueError):
    """A response went on beyond MAX_RESPONSE_BYTES."""


def _may_pass(status: int) -> bool:
    return status in _BUSY or (status >= 500 and status not in (501, 505))


def _asked_wait(response: httpx.Response) -> float | None:
    """Return for how many seconds the server asks to wait; None where it does not say."""
    said = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError):
        return None
