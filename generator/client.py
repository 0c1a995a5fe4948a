"""An OpenAI-compatible server as the generator. The one place that knows `openai` and httpx.

Requests run on an event loop in a thread of their own, so that several go out at once and each
can be called off; callers see plain functions. Every failure of the transport and of the
protocol leaves here as one of generator.errors; no message contains the API key.
"""

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Coroutine, Sequence
from collections.abc import Generator as GeneratorOf
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar, cast

import httpx
import openai
from PIL import Image

from generator.background import HEARTBEAT_S, Background, together
from generator.errors import GeneratorError
from generator.faults import Faults, checked_key, checked_url
from generator.interface import MAX_TOKENS, Capabilities, Completion, Verdict, wait
from generator.pictures import PIXEL_BUDGET, image_data_uri
from generator.prompts import Prompt
from generator.protocol import Growing, NotACompletion, chat_messages, read_verdict

# A short answer is far smaller; what is larger does not come from a generator.
MAX_RESPONSE_BYTES = 1_000_000
TOP_LOGPROBS = 20
# What no model says unless it is held to it.
_UNASKED = "zyzzyva"

_T = TypeVar("_T")


class OpenAIGenerator:
    """A model behind an OpenAI-compatible server, such as vLLM.

    Args:
        base_url: with the version, for example "http://127.0.0.1:8000/v1".
        model: the name under which the server serves it.
        api_key: sent as a bearer token; None sends none.
        api: "chat" sends messages, and the picture where the model sees; "completions" sends
            plain text, for a base model.
        timeout_s: for a whole call, retries and waiting for a turn included.
        connect_timeout_s: for reaching the server.
        retries: further tries when it is not reached or busy (408, 409, 429, 5xx).
        concurrency: requests on their way at once; others wait for their turn.
        image_pixels: larger pictures are scaled down to this many pixels.

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
        retries: int = 2,
        concurrency: int = 8,
        image_pixels: int = PIXEL_BUDGET,
    ) -> None:
        if api not in ("chat", "completions"):
            raise ValueError(f"api must be 'chat' or 'completions', not {api!r}")
        self.name = model
        self._api = api
        url, shown = checked_url(base_url)
        key = checked_key(api_key)
        self._faults = Faults(model, api, shown, key, timeout_s, connect_timeout_s)
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._image_pixels = image_pixels
        self._options: dict[str, Any] = {
            "base_url": url,
            # openai wants a key even where the server wants none.
            "api_key": key or "none",
            "max_retries": retries,
            "timeout": httpx.Timeout(timeout_s, connect=connect_timeout_s),
        }
        self._keyless = key is None
        self._background = Background(self._open, self._shut)
        self._client: openai.AsyncOpenAI
        self._turns: asyncio.Semaphore
        self._capabilities: Capabilities | None = None

    def close(self) -> None:
        """Drop the connections and end the thread."""
        self._background.close()

    def capabilities(self) -> Capabilities:
        """Return what the model can do, asked once with requests for one token each.

        Raises:
            GeneratorUnavailable: not reached, wrong key or model, or a server error.
            GeneratorTimeout: no answer in time.
        """
        if self._capabilities is None:
            self._capabilities = self._run(self._probe())
        return self._capabilities

    def health(self) -> str:
        """Return one line on what answers and what it can do.

        Raises:
            GeneratorError: it would not answer now.
        """
        if self.name not in (served := self._run(self._served())):
            raise self._faults.wrong_model(served)
        can = self.capabilities()
        says = [
            "sees pictures" if can.images else "text only: the picture speaks through retrieval",
            "gives log-probabilities" if can.logprobs else "gives no log-probabilities",
            "can be held to choices" if can.choices else "cannot be held to choices",
        ]
        if can.context_tokens:
            says.append(f"{can.context_tokens:,} tokens of context")
        return f"{self._faults.where} ({self._api}; {'; '.join(says)})"

    def stream(
        self, prompt: Prompt, *, max_tokens: int = MAX_TOKENS
    ) -> GeneratorOf[str | Completion, None, None]:
        """Yield the first line of the completion in pieces, then the whole completion.

        Closing the iterator ends the request, on the server too.

        Raises:
            GeneratorUnavailable: not reached, wrong key or model, or a server error.
            GeneratorTimeout: not complete after `timeout_s`.
            BadCompletion: refused as too long, cut short, empty, or not the protocol.
        """
        can = self.capabilities()
        arrived: queue.SimpleQueue[str | Completion | BaseException] = queue.SimpleQueue()

        async def pump() -> None:
            try:
                async with self._turn():
                    growing = Growing(prompt)
                    async for piece in self._pieces(prompt, growing, max_tokens, can):
                        arrived.put(piece)
                    arrived.put(self._finished(growing))
            except BaseException as exc:  # noqa: BLE001 - handed to the caller's thread
                arrived.put(exc)

        task = self._background.submit(pump())
        try:
            item: str | Completion | BaseException = ""
            while not isinstance(item, Completion):
                try:
                    item = arrived.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    item = ""
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            task.cancel()

    def complete(
        self, prompts: Sequence[Prompt], *, max_tokens: int = MAX_TOKENS
    ) -> GeneratorOf[list[Completion] | None, None, None]:
        """Yield None at times, then the completions of several prompts, asked for at once.

        Raises:
            GeneratorError: as for `stream`; the other requests are then called off.
        """
        can = self.capabilities()

        async def one(prompt: Prompt) -> Completion:
            async with self._turn():
                growing = Growing(prompt)
                async for _ in self._pieces(prompt, growing, max_tokens, can):
                    pass
                return self._finished(growing)

        yield from self._background.while_waiting(together([one(prompt) for prompt in prompts]))

    def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> GeneratorOf[list[Verdict] | None, None, None]:
        """Yield None at times, then for each prompt the probabilities of the choices.

        Raises:
            GeneratorError: as for `stream`; BadCompletion for a reply that is no choice.
        """
        can = self.capabilities()

        async def one(prompt: Prompt) -> Verdict:
            async with self._turn():
                return await self._choice(prompt, choices, can)

        yield from self._background.while_waiting(together([one(prompt) for prompt in prompts]))

    # On the event loop

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn; bounds the time of everything inside, and names what goes wrong."""
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                yield
        except openai.NotFoundError as exc:
            raise self._faults.not_found(await self._models_if_any()) from exc
        except openai.APIStatusError as exc:
            location = exc.response.headers.get("location", "")
            raise self._faults.status(exc.status_code, _body(exc), location) from exc
        except (openai.APITimeoutError, httpx.TimeoutException, TimeoutError) as exc:
            if isinstance(exc.__cause__, httpx.ConnectTimeout):
                raise self._faults.connect_timeout() from exc
            raise self._faults.timeout() from exc
        except (openai.APIConnectionError, httpx.HTTPError) as exc:
            raise self._faults.not_reached(str(exc.__cause__ or exc) or repr(exc)) from exc
        except UnicodeDecodeError as exc:
            raise self._faults.not_utf8() from exc
        except ResponseTooLong as exc:
            raise self._faults.endless(str(exc)) from exc
        except json.JSONDecodeError as exc:
            raise self._faults.not_a_completion(exc.doc) from exc
        except (NotACompletion, openai.OpenAIError, ValueError, TypeError, AttributeError) as exc:
            raise self._faults.not_a_completion(str(exc)) from exc

    async def _pieces(
        self, prompt: Prompt, growing: Growing, max_tokens: int, can: Capabilities
    ) -> AsyncIterator[str]:
        """Yield the pieces of the first line as they arrive."""
        options: dict[str, Any] = {
            "model": self.name,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.stop:
            options["stop"] = list(prompt.stop)
        if self._api == "completions":
            create: Any = self._client.completions.with_raw_response.create
            options |= {"prompt": prompt.text} | ({"logprobs": 1} if can.logprobs else {})
        else:
            create = self._client.chat.completions.with_raw_response.create
            options |= {"messages": self._messages(prompt, can)}
            options |= {"logprobs": True} if can.logprobs else {}
        raw = await create(**options)
        kind = raw.headers.get("content-type", "nothing")
        if not kind.startswith("text/event-stream"):
            await raw.http_response.aclose()
            raise self._faults.not_events(kind)
        try:
            async with raw.parse() as chunks:
                async for chunk in chunks:
                    if piece := growing.add(chunk, self._api):
                        yield piece
                    if growing.pieces > 2 * max_tokens + 16:
                        raise self._faults.endless(f"{max_tokens} tokens were asked for")
        except openai.APITimeoutError:
            raise
        except openai.APIConnectionError as exc:
            raise self._faults.broke_off(str(exc.__cause__ or exc)) from exc
        if not growing.ended:
            raise self._faults.broke_off()

    async def _choice(self, prompt: Prompt, choices: Sequence[str], can: Capabilities) -> Verdict:
        options: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        # The space that a few-shot prompt leaves to the answer.
        lead = "" if prompt.text.endswith((" ", "\n")) or not prompt.stop else " "
        held = {"structured_outputs": {"choice": [f"{lead}{choice}" for choice in choices]}}
        reply = await self._client.chat.completions.create(
            model=self.name,
            messages=cast(Any, self._messages(prompt, can)),
            max_tokens=1,
            temperature=0,
            **(options if can.logprobs else {}),
            extra_body=held if can.choices else None,
        )
        return read_verdict(reply, prompt, choices)

    def _messages(self, prompt: Prompt, can: Capabilities) -> list[dict[str, Any]]:
        image = prompt.messages[-1].image
        seen = image is not None and can.images
        picture = image_data_uri(image, self._image_pixels) if image and seen else None
        return chat_messages(prompt, picture)

    def _finished(self, growing: Growing) -> Completion:
        if not growing.text.strip():
            raise self._faults.empty()
        return growing.completion()

    async def _probe(self) -> Capabilities:
        """Find out by asking: a model's card does not say what its server lets through."""
        async with self._turn():
            context = await self._context_tokens()
        if self._api == "completions":
            return Capabilities(False, await self._accepts_text(), False, context)
        blank = image_data_uri(_blank())
        image = {"type": "image_url", "image_url": {"url": blank}}
        text = {"type": "text", "text": "Say yes."}
        images, logprobs, choices = await together(
            [
                self._accepts([image, text]),
                self._accepts([text], logprobs=True, top_logprobs=TOP_LOGPROBS),
                self._accepts([text], extra_body={"structured_outputs": {"choice": [_UNASKED]}}),
            ]
        )
        can_choose = bool(said := _said(choices)) and _UNASKED.startswith(said)
        return Capabilities(
            images is not None, logprobs is not None and _gave(logprobs), can_choose, context
        )

    async def _accepts(self, content: list[Any], **options: Any) -> Any:
        """Return the reply to a request for one token, or None where it was refused."""
        async with self._turn():
            try:
                return await self._client.chat.completions.create(
                    model=self.name,
                    messages=cast(Any, [{"role": "user", "content": content}]),
                    max_tokens=1,
                    temperature=0,
                    **options,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                return None
            except openai.InternalServerError as exc:
                # vLLM and others answer 500 to a picture that a text model cannot take.
                if exc.status_code not in (500, 501):
                    raise
                return None

    async def _accepts_text(self) -> bool:
        async with self._turn():
            try:
                reply = await self._client.completions.create(
                    model=self.name, prompt="1 2 3", max_tokens=1, logprobs=1
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                return False
            logprobs = getattr(reply.choices[0], "logprobs", None) if reply.choices else None
            return bool(logprobs and logprobs.token_logprobs)

    async def _context_tokens(self) -> int | None:
        for model in await self._models():
            if model.id == self.name:
                return getattr(model, "max_model_len", None)
        return None

    async def _served(self) -> list[str]:
        async with self._turn():
            return [model.id for model in await self._models()]

    async def _models(self) -> list[Any]:
        page = await self._client.models.list()
        models = getattr(page, "data", None)
        if not isinstance(models, list) or not all(hasattr(model, "id") for model in models):
            raise self._faults.no_models()
        return models

    async def _models_if_any(self) -> list[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return [model.id for model in await self._models()]
        except (GeneratorError, openai.OpenAIError, TimeoutError, ValueError):
            return []

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return wait(self._background.while_waiting(work))

    async def _open(self) -> None:
        self._turns = asyncio.Semaphore(self._concurrency)
        http = httpx.AsyncClient(
            transport=_Bounded(
                # A kept connection that the server has just dropped looks like a failure, and
                # opening one costs nothing next to a completion.
                limits=httpx.Limits(max_keepalive_connections=0),
            ),
            timeout=self._options["timeout"],
            event_hooks={"request": [self._drop_key]} if self._keyless else {},
        )
        self._client = openai.AsyncOpenAI(http_client=cast(Any, http), **self._options)

    async def _shut(self) -> None:
        await self._client.close()

    @staticmethod
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


def _blank() -> Image.Image:
    return Image.new("RGB", (56, 56), "white")


def _said(reply: Any) -> str:
    choices = getattr(reply, "choices", None)
    return (choices[0].message.content or "").strip() if choices else ""


def _gave(reply: Any) -> bool:
    """Return whether a reply has the alternatives of its token."""
    choices = getattr(reply, "choices", None)
    logprobs = getattr(choices[0], "logprobs", None) if choices else None
    return bool(logprobs and logprobs.content and logprobs.content[0].top_logprobs)
