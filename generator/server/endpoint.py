"""A server that speaks OpenAI's protocol, reached: the one place of the generator that knows httpx.

Requests for one model wait for their turn, are bounded in time and size, and fail as one of
generator.errors; no message contains the API key. Key and proxy are given; of the environment only
SSL_CERT_FILE and SSL_CERT_DIR are heard, for https:// URLs.
"""

import asyncio
import itertools
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Literal

import httpx
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from generator.errors import GeneratorUnavailable
from generator.server.dialect import Dialect
from generator.server.faults import (
    Faults,
    Refusal,
    checked_key,
    checked_proxy,
    checked_url,
    error_of,
    url_of,
)
from generator.server.patience import (
    Circuit,
    asked_wait,
    may_pass,
    socket_options,
    usual_wait,
)
from generator.server.wire.bodies import BodyTooLong, begins_as_events, events, text
from generator.server.wire.protocol import (
    NotACompletion,
    first_choice,
    has_picture,
    parse,
    without_pictures,
)

Api = Literal["chat", "completions"]

_PATHS = {"chat": "/chat/completions", "completions": "/completions"}
# Servers drop a connection that is idle for longer: uvicorn, which vLLM runs on, after 5 s.
_IDLE_S = 4.0
# How long the end of a body is waited for once its last event is there.
_REST_S = 0.2

# `traceparent`, where the question is traced: what the server does is then part of its trace.
_TRACE_CONTEXT = TraceContextTextMapPropagator()

log = logging.getLogger(__name__)


class Endpoint:
    """One model of one server. Used on an event loop, between `open` and `shut`.

    Args as for `client.OpenAIGenerator`.

    Attributes:
        model: the name under which it is served.
        api: "chat" or "completions".
        faults: its errors.
        dialect: how it wants options put.
        sees: its model is known to take pictures: what refuses one is about that one.
        retries: further tries when it refuses the connection or is busy.
        circuit: whether calls go out to it.
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
        self._turns: asyncio.Semaphore
        self.circuit: Circuit
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    async def open(self) -> None:
        """Make ready on the running loop; nothing is sent yet."""
        self._turns = asyncio.Semaphore(self._concurrency)
        self.circuit = Circuit(self.faults.where, self.there)
        self._clients, self._idle = [], []

    async def shut(self) -> None:
        """Drop the connections."""
        for client in self._clients:
            await client.aclose()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """Wait for a turn, then bound the time of everything inside and name what goes wrong.

        How long the wait is depends on what else was asked for, so that it has no bound.

        Raises:
            GeneratorError: for every failure of transport or protocol; its cause is `Refusal`
                where the server refused. At once where the server is gone, see `Circuit`.
        """
        faults = self.faults
        try:
            async with self._turn() as turn:
                yield turn
        except Refusal as exc:
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
        except BodyTooLong as exc:
            raise faults.endless(str(exc)) from exc
        except (NotACompletion, LookupError, ValueError, TypeError, AttributeError) as exc:
            raise faults.not_a_completion(str(exc)) from exc

    async def models(self) -> list[dict[str, Any]]:
        """Return what the server lists as its models; nothing where it gives no list."""
        listed = await self._told("/models")
        if isinstance(listed, dict):
            listed = listed.get("data") or listed.get("models")
        return [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []

    async def served(self) -> list[str]:
        """Return the names of the models that the server lists; nothing where it gives no list."""
        names = (model.get("id") or model.get("name") for model in await self.models())
        return [str(name) for name in names if name]

    async def there(self) -> bool:
        """Return whether the server says anything, in the time that reaching it may take."""
        try:
            async with asyncio.timeout(self._connect_s), self._client() as client:
                await client.get(self.url("/models"))
        except (httpx.ConnectError, httpx.TimeoutException, TimeoutError):
            return False
        except httpx.HTTPError:  # it broke off: who does that is there
            pass
        return True

    async def version(self) -> str:
        """Return the version that the server reports beside its API, as vLLM does; "" for none."""
        told = await self._told("/../version")
        version = told.get("version") if isinstance(told, dict) else None
        return version if isinstance(version, str) else ""

    async def _told(self, path: str) -> Any:
        """Return the JSON that is at a path; None where there is none."""
        try:
            async with self._turn() as turn:
                return json.loads(await _body(await turn.send("GET", path)))
        except (Refusal, httpx.HTTPError, TimeoutError, ValueError, RecursionError):
            return None

    def body(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request: what was set for the server goes over what is asked."""
        return {"model": self.model, **options, **self.extra_body}

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator["Turn"]:
        """Wait for a turn and bound its time; the connection that was used last is used first.

        A client for each turn, which keeps one connection: a pool of many looks at all of them for
        every request.
        """
        async with self._turns:
            if not await self.circuit.closed():
                raise self.faults.gone()
            if not self._idle:
                self._clients.append(self._client())
                self._idle.append(self._clients[-1])
            client = self._idle.pop()
            try:
                async with asyncio.timeout(self._timeout_s) as limit:
                    turn = Turn(self, client, limit.when() or 0.0)
                    yield turn
            except (httpx.TimeoutException, httpx.NetworkError, TimeoutError):
                if not turn.heard:
                    self.circuit.missed()
                raise
            finally:
                self._idle.append(client)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                verify=self._trusted,
                proxy=self._proxy,
                limits=httpx.Limits(max_keepalive_connections=1, keepalive_expiry=_IDLE_S),
                socket_options=socket_options(),
            ),
            # Not compressed: what is bounded is what arrives.
            headers={"Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            # How long a whole call may take is bounded by its turn.
            timeout=httpx.Timeout(None, connect=self._connect_s),
            trust_env=False,
        )

    def url(self, path: str) -> str:
        """Return the URL of a path below the server's."""
        return url_of(self._url, path)


class Turn:
    """The right to ask, until a point in time of the loop's clock.

    Attributes:
        heard: whether the server has said anything in it.
    """

    def __init__(self, endpoint: Endpoint, client: httpx.AsyncClient, until: float) -> None:
        self._endpoint, self._client, self._until = endpoint, client, until
        self.heard = False

    async def reply(self, **options: Any) -> dict[str, Any]:
        """Return the whole reply to a request.

        Raises:
            Refusal: the server refuses it, in whatever way it says so.
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
            Refusal: as for `reply`.
        """
        async with aclosing(self._chunks({**options, "stream": True})) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _chunks(self, options: dict[str, Any]) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield what comes in answer to options, put as the server takes them."""
        dialect = self._endpoint.dialect
        path = _PATHS[self._endpoint.api]
        while True:
            put = dialect.written(options)
            begun = False
            try:
                response = await self.send("POST", path, self._endpoint.body(put))
                async with aclosing(_documents(response, self._endpoint.faults)) as documents:
                    async for document in documents:
                        if document is not None and (refusal := error_of(document)):
                            raise refusal
                        begun = True
                        yield document
                return
            except Refusal as exc:
                if begun:
                    raise
                if self._endpoint.sees and exc.is_of_a_picture and has_picture(options):
                    log.warning("%s", self._endpoint.faults.without_picture(exc))
                    options = {**options, "messages": without_pictures(options["messages"])}
                elif not dialect.learn(exc.said, options, put):
                    raise

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Return the head of a success; tries again where the server is busy or not reached.

        Raises:
            Refusal: it is no success, or asks for a longer wait than there is time.
            httpx.HTTPError: the server is not reached.
        """
        for attempt in itertools.count():
            wait = usual_wait(attempt)
            last = attempt >= self._endpoint.retries
            try:
                response = await self._head(method, path, body)
            except httpx.ConnectTimeout:
                raise  # for as long as it takes the system has tried again
            except httpx.TransportError:
                if last or not self._has(wait):
                    raise
            else:
                self.heard = True
                self._endpoint.circuit.heard()
                if response.is_success:
                    return response
                asked = asked_wait(response.headers.get("retry-after", ""))
                wait = asked or wait
                if last or not may_pass(response.status_code) or not self._has(wait):
                    location = response.headers.get("location")
                    raise Refusal(
                        response.status_code, await _body(response), location, asked
                    ) from None
                await response.aclose()
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _head(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """Return the head of a response, its body to come.

        That the server has just dropped a kept connection is no failure: a new one is opened.

        Raises:
            httpx.HTTPError: there is none.
        """
        opened: list[str] = []

        async def note(event: str, info: Any) -> None:
            if ".connect_" in event:
                opened.append(event)

        url, headers = self._endpoint.url(path), dict[str, str]()
        _TRACE_CONTEXT.inject(headers)
        for again in (False, True):
            request = self._client.build_request(
                method, url, json=body, headers=headers, extensions={"trace": note}
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if opened or again:
                    raise
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
    arriving: AsyncIterator[bytes] = response.aiter_bytes()
    streams = kind.lower().startswith("text/event-stream")
    try:
        if not streams and "html" not in kind.lower():  # some servers name it otherwise
            arriving, streams = await begins_as_events(arriving)
        if streams:
            try:
                async with aclosing(events(arriving)) as documents:
                    async for document in documents:
                        yield document
            except httpx.TransportError as exc:
                raise faults.broke_off(str(exc)) from exc
            # What is read to its end leaves its connection to the next request.
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(_REST_S):
                    async for _ in arriving:
                        pass
            return
        body = await text(arriving)
        if "json" not in kind.lower() and not body.lstrip().startswith("{"):
            raise faults.not_events(kind)
        document = parse(body)
        if not error_of(document) and first_choice(document) is None:
            raise NotACompletion(body)
        yield document
        yield None
    finally:
        await response.aclose()


async def _body(response: httpx.Response) -> str:
    """Return the body of a response."""
    try:
        return await text(response.aiter_bytes())
    finally:
        await response.aclose()
