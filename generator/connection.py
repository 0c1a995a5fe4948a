"""A server that speaks OpenAI's protocol, reached: the one place that knows `openai` and httpx.

Requests for one model wait for their turn, are bounded in time and size, and fail as one of
generator.errors; no message contains the API key.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import httpx
import openai

from generator.errors import GeneratorError
from generator.faults import Faults, checked_key, checked_url
from generator.protocol import NotACompletion

Api = Literal["chat", "completions"]

# A short answer is far smaller; what is larger does not come from a generator.
MAX_RESPONSE_BYTES = 1_000_000


class Connection:
    """One model of one server. Used on an event loop, between `open` and `shut`.

    Args as for `client.OpenAIGenerator`.

    Attributes:
        model: the name under which it is served.
        api: "chat" or "completions".
        faults: its errors.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api: Api,
        *,
        api_key: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        retries: int,
        concurrency: int,
    ) -> None:
        self.model, self.api = model, api
        url, shown = checked_url(base_url)
        key = checked_key(api_key)
        self.faults = Faults(model, api, shown, key, timeout_s, connect_timeout_s)
        self._timeout_s, self._concurrency = timeout_s, concurrency
        self._options: dict[str, Any] = {
            "base_url": url,
            # openai wants a key even where the server wants none.
            "api_key": key or "none",
            "max_retries": retries,
            "timeout": httpx.Timeout(timeout_s, connect=connect_timeout_s),
        }
        self._keyless = key is None
        self._client: openai.AsyncOpenAI
        self._turns: asyncio.Semaphore

    async def open(self) -> None:
        """Make ready on the running loop; nothing is sent yet."""
        self._turns = asyncio.Semaphore(self._concurrency)
        http = httpx.AsyncClient(
            transport=_Bounded(
                # A kept connection that the server has just dropped looks like a failure, and
                # opening one costs nothing next to a completion.
                limits=httpx.Limits(max_keepalive_connections=0),
            ),
            timeout=self._options["timeout"],
            event_hooks={"request": [_drop_key]} if self._keyless else {},
        )
        self._client = openai.AsyncOpenAI(http_client=cast(Any, http), **self._options)

    async def shut(self) -> None:
        """Drop the connections."""
        await self._client.close()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn; bounds the time of everything inside, and names what goes wrong.

        Raises:
            GeneratorError: for every failure of transport or protocol.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                yield
        except openai.NotFoundError as exc:
            raise self.faults.not_found(await self._served_if_any()) from exc
        except openai.APIStatusError as exc:
            location = exc.response.headers.get("location", "")
            raise self.faults.status(exc.status_code, _body(exc), location) from exc
        except (openai.APITimeoutError, httpx.TimeoutException, TimeoutError) as exc:
            if isinstance(exc.__cause__, httpx.ConnectTimeout):
                raise self.faults.connect_timeout() from exc
            raise self.faults.timeout() from exc
        except (openai.APIConnectionError, httpx.HTTPError) as exc:
            raise self.faults.not_reached(str(exc.__cause__ or exc) or repr(exc)) from exc
        except UnicodeDecodeError as exc:
            raise self.faults.not_utf8() from exc
        except ResponseTooLong as exc:
            raise self.faults.endless(str(exc)) from exc
        except json.JSONDecodeError as exc:
            raise self.faults.not_a_completion(exc.doc) from exc
        except (NotACompletion, openai.OpenAIError, ValueError, TypeError, AttributeError) as exc:
            raise self.faults.not_a_completion(str(exc)) from exc

    async def events(self, **options: Any) -> AsyncGenerator[Any, None]:
        """Yield the chunks of a streamed completion; inside a turn."""
        create: Any = self._endpoint(self.api).with_raw_response.create
        raw = await create(model=self.model, stream=True, **options)
        kind = raw.headers.get("content-type", "nothing")
        if not kind.startswith("text/event-stream"):
            await raw.http_response.aclose()
            raise self.faults.not_events(kind)
        try:
            async with raw.parse() as chunks:
                async for chunk in chunks:
                    yield chunk
        except openai.APITimeoutError:
            raise
        except openai.APIConnectionError as exc:
            raise self.faults.broke_off(str(exc.__cause__ or exc)) from exc

    async def token(self, api: Api, **options: Any) -> Any:
        """Return the whole reply to a request for one token; inside a turn."""
        create: Any = self._endpoint(api).create
        return await create(model=self.model, max_tokens=1, **options)

    async def token_if_accepted(self, api: Api, **options: Any) -> Any:
        """Return the same in a turn of its own, or None where the server refuses the options."""
        async with self.turn():
            try:
                return await self.token(api, **options)
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                return None
            except openai.InternalServerError as exc:
                # vLLM and others answer 500 to a picture that a text model cannot take.
                if exc.status_code not in (500, 501):
                    raise
                return None

    async def models(self) -> list[Any]:
        """Return what the server lists as its models, each with an `id`; inside a turn."""
        try:
            page = await self._client.models.list()
        except (AttributeError, TypeError, json.JSONDecodeError) as exc:
            # What openai makes of a web page.
            raise self.faults.no_models() from exc
        models = getattr(page, "data", None)
        if not isinstance(models, list) or not all(hasattr(model, "id") for model in models):
            raise self.faults.no_models()
        return models

    def _endpoint(self, api: Api) -> Any:
        return self._client.completions if api == "completions" else self._client.chat.completions

    async def _served_if_any(self) -> list[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return [model.id for model in await self.models()]
        except (GeneratorError, openai.OpenAIError, TimeoutError, ValueError):
            return []


async def _drop_key(request: httpx.Request) -> None:
    request.headers.pop("Authorization", None)


class _Bounded(httpx.AsyncHTTPTransport):
    """Connections whose responses end: one that goes on beyond the limit is an error."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.stream = _BoundedStream(cast(httpx.AsyncByteStream, response.stream))
        return response


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_RESPONSE_BYTES:
                raise ResponseTooLong(f"more than {MAX_RESPONSE_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class ResponseTooLong(ValueError):
    """A response went on beyond MAX_RESPONSE_BYTES."""


def _body(exc: openai.APIStatusError) -> str:
    try:
        return exc.response.text
    except httpx.StreamError:
        return exc.message
