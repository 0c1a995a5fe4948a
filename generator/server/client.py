"""An OpenAI-compatible server as the generator.

Requests run on an event loop in a thread of their own, so that several go out at once and each
can be called off; callers see plain functions. `endpoint` sends them and names what goes
wrong, `probe` finds out what may be asked for, `protocol` writes and reads the messages.
"""

import json
import logging
import queue
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from generator.interface import (
    MAX_TOKENS,
    Capabilities,
    Completion,
    Piece,
    Usage,
    Verdict,
    Waiting,
    Work,
    wait,
)
from generator.pictures import PIXEL_BUDGET
from generator.prompts import Prompt, Style
from generator.quoting import one_line
from generator.server.background import HEARTBEAT_S, Background, together
from generator.server.endpoint import Api, Endpoint, Turn
from generator.server.probe import probe
from generator.server.wire.protocol import (
    TOP_LOGPROBS,
    Draft,
    NotACompletion,
    chat_messages,
    read_verdict,
    thinks,
)

_T = TypeVar("_T")

# What a request is made of here, and cannot be set for all.
OWN_FIELDS = ("model", "messages", "prompt", "stream", "n")
_LONGEST_TOKEN = 64  # in characters, but for rare ones
_PIXELS_A_TOKEN = 28 * 28  # of Qwen2.5-VL
# A server that breaks on something so often does not have it.
_PROBES = 3

log = logging.getLogger(__name__)


class OpenAIGenerator:
    """A model behind an OpenAI-compatible server, such as vLLM.

    Args:
        base_url: with the version, for example "http://127.0.0.1:8000/v1".
        model: the name under which the server serves it.
        api_key: sent as a bearer token; None sends none.
        api: "chat" sends messages, and the picture where the model sees; "completions" sends
            plain text, for a base model.
        timeout_s: for one prompt, retries included; waiting for a turn is no part of it.
        connect_timeout_s: for reaching the server.
        retries: further tries when it refuses the connection or is busy (408, 409, 429, 5xx).
        concurrency: requests on their way at once, each on a connection that is kept; others
            wait for their turn.
        image_pixels: larger pictures are scaled down to this many pixels.
        max_tokens: for one answer, thinking included.
        extra_body: fields that go into every request, over those that are asked for here.
        proxy: the URL of a proxy through which the server is reached; None for directly.

    Raises:
        GeneratorUnavailable: `base_url`, `api_key` or `proxy` cannot be used at all.
        ValueError: a number is out of its range, or `extra_body` has one of OWN_FIELDS or is no
            JSON, in which NaN is no number.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        api: Api = "chat",
        timeout_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        retries: int = 2,
        concurrency: int = 8,
        image_pixels: int = PIXEL_BUDGET,
        max_tokens: int = MAX_TOKENS,
        extra_body: Mapping[str, Any] | None = None,
        proxy: str | None = None,
    ) -> None:
        for name, text in (("base_url", base_url), ("model", model)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a text, got {text!r:.80}")
        if api not in ("chat", "completions"):
            raise ValueError(f"api must be 'chat' or 'completions', not {api!r}")
        _check_numbers(1, concurrency=concurrency, image_pixels=image_pixels, max_tokens=max_tokens)
        _check_numbers(0, retries=retries)
        for name, value in (("timeout_s", timeout_s), ("connect_timeout_s", connect_timeout_s)):
            if not value > 0:
                raise ValueError(f"{name} must be more than 0, not {value!r}")
        _check_fields(extra_body or {})
        self.name = model
        self._image_pixels, self._max_tokens = image_pixels, max_tokens
        self._endpoint = Endpoint(
            base_url,
            model,
            api,
            api_key=api_key,
            proxy=proxy,
            extra_body=dict(extra_body or {}),
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retries=retries,
            concurrency=concurrency,
        )
        self._faults = self._endpoint.faults
        self._background = Background(self._endpoint.open, self._endpoint.shut)
        self._capabilities: Capabilities | None = None
        self._unsettled: tuple[str, ...] = ()
        self._probes = 0
        self._said: set[str] = set()

    @property
    def style(self) -> Style:
        """Return how prompts are written to it: a base model needs to be shown."""
        return "instruct" if self._endpoint.api == "chat" else "few-shot"

    def close(self) -> None:
        """Drop the connections and end the thread."""
        self._background.close()

    def request_record(self) -> dict[str, Any]:
        """Return what of its settings an answer depends on: where it asks, how, what it sends."""
        return {
            "url": self._faults.shown_url,
            "api": self._endpoint.api,
            "image_pixels": self._image_pixels,
            "max_tokens": self._max_tokens,
            "extra_body": self._endpoint.extra_body,
        }

    def server_version(self) -> str:
        """Return the version that the server reports; "" where it reports none."""
        return self._run(self._endpoint.version())

    def capabilities(self) -> Capabilities:
        """Return what the model can do, found out with requests for one token each.

        Asked once; again where the server broke on something, or refused it for the moment.

        Raises:
            GeneratorUnavailable: not reached, wrong key or model, or a server error.
            GeneratorTimeout: no answer in time.
            BadCompletion: it refuses even a request with nothing special.
        """
        if self._capabilities is None or (self._unsettled and self._probes < _PROBES):
            can, self._unsettled = self._run(probe(self._endpoint))
            self._probes += 1
            self._endpoint.sees = can.images
            self._capabilities = replace(
                can,
                answer_tokens=self._max_tokens,
                picture_tokens=self._image_pixels // _PIXELS_A_TOKEN,
            )
            for what in self._unsettled:
                log.warning(
                    "%s failed when it was asked for %s: going on without, to ask again later",
                    self._faults.where,
                    what,
                )
        return self._capabilities

    def health(self) -> str:
        """Return one line on what answers and what it can do.

        Raises:
            GeneratorError: it would not answer now.
        """
        can = self.capabilities()
        if not self._run(self._endpoint.there()):
            raise self._faults.silent()
        says = [
            "sees pictures" if can.images else "text only: the picture speaks through retrieval",
            "gives log-probabilities" if can.logprobs else "gives no log-probabilities",
            "can be held to choices" if can.choices else "cannot be held to choices",
        ]
        if can.context_tokens:
            says.append(f"{can.context_tokens:,} tokens of context")
        served = self._run(self._endpoint.served())
        if not served:
            says.append("gives no list of models")
        elif self.name not in served:
            says.append(f"lists other models: {', '.join(served[:8])}")
        says += [f"failed when asked for {what}" for what in self._unsettled]
        says += self._endpoint.dialect.notes
        return f"{self._faults.where} ({self._endpoint.api}; {one_line('; '.join(says))})"

    def stream(self, prompt: Prompt, *, max_tokens: int | None = None) -> Work[Completion]:
        """Yield the first line of the completion in pieces; return the whole completion.

        Closing this ends the request, on the server too.

        Raises:
            GeneratorUnavailable: not reached, wrong key or model, or a server error.
            GeneratorTimeout: not complete after `timeout_s`.
            BadCompletion: refused as too long, cut short, empty, or not the protocol.
        """
        options = self._options(prompt, max_tokens or self._max_tokens, self.capabilities())
        arrived: queue.SimpleQueue[Piece | Completion | BaseException] = queue.SimpleQueue()

        async def pump() -> None:
            try:
                async with self._endpoint.turn() as turn:
                    completion = await self._write(
                        turn, prompt, options, lambda piece: arrived.put(Piece(piece))
                    )
                if not completion.text.strip():
                    raise self._faults.empty(completion.lack)
                arrived.put(completion)
            except BaseException as exc:  # noqa: BLE001 - handed to the caller's thread
                arrived.put(exc)

        task = self._background.submit(pump())
        try:
            while True:
                try:
                    item = arrived.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    yield Waiting()
                    continue
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, Completion):
                    return item
                yield item
        finally:
            task.cancel()

    def complete(
        self, prompts: Sequence[Prompt], *, max_tokens: int | None = None
    ) -> Work[list[Completion]]:
        """Return the completions of several prompts, asked for at once.

        A prompt to which nothing is written has an empty completion: the others may do.

        Raises:
            GeneratorError: otherwise as for `stream`; the other requests are then called off.
        """
        can, tokens = self.capabilities(), max_tokens or self._max_tokens
        asked = [(prompt, self._options(prompt, tokens, can)) for prompt in prompts]

        async def one(prompt: Prompt, options: dict[str, Any]) -> Completion:
            async with self._endpoint.turn() as turn:
                return await self._write(turn, prompt, options, lambda piece: None)

        every = together([one(*pair) for pair in asked])
        return (yield from self._background.while_waiting(every))

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Work[list[Verdict]]:
        """Return for each prompt the probabilities of the choices.

        Raises:
            GeneratorError: as for `stream`; BadCompletion for a reply that is no choice.
        """
        can = self.capabilities()
        asked = [(prompt, self._choice_options(prompt, choices, can)) for prompt in prompts]

        async def one(prompt: Prompt, options: dict[str, Any]) -> Verdict:
            async with self._endpoint.turn() as turn:
                return await self._choice(turn, prompt, options, choices)

        every = together([one(*pair) for pair in asked])
        return (yield from self._background.while_waiting(every))

    # In the caller's thread: pictures are encoded there.

    def _options(self, prompt: Prompt, max_tokens: int, can: Capabilities) -> dict[str, Any]:
        """Return what a completion is asked for with."""
        options = self._asked(prompt, can) | {
            "max_tokens": max_tokens,
            "stream_options": {"include_usage": True},
            # What comes after the first line is not read, whatever the style.
            "stop": list(prompt.stop or ("\n",)),
        }
        if can.logprobs:
            options["logprobs"] = 1 if self._endpoint.api == "completions" else True
        return options

    def _choice_options(
        self, prompt: Prompt, choices: Sequence[str], can: Capabilities
    ) -> dict[str, Any]:
        """Return what a choice is asked for with."""
        api, options = self._endpoint.api, self._asked(prompt, can)
        if can.logprobs and api == "completions":
            options["logprobs"] = TOP_LOGPROBS[api]
        elif can.logprobs:
            options |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS[api]}
        # The space that a few-shot prompt leaves to the answer.
        lead = "" if prompt.text.endswith((" ", "\n")) or not prompt.stop else " "
        if can.choices:
            options["structured_outputs"] = {"choice": [f"{lead}{choice}" for choice in choices]}
        return options

    def _asked(self, prompt: Prompt, can: Capabilities) -> dict[str, Any]:
        if self._endpoint.api == "completions":
            return {"prompt": prompt.text, "temperature": 0}
        shown = prompt.messages[-1].picture if can.images else None
        picture = shown.data_uri(self._image_pixels) if shown is not None else None
        return {"messages": chat_messages(prompt, picture), "temperature": 0}

    # On the event loop

    async def _write(
        self, turn: Turn, prompt: Prompt, options: dict[str, Any], tell: Callable[[str], None]
    ) -> Completion:
        """Return the completion; `tell` is given the pieces of its first line as they arrive.

        Models that begin with an empty line, or think first, meet the stop text before they have
        said a word. Such a one is asked again without, and from then on.
        """
        dialect = self._endpoint.dialect
        stops = "stop" in dialect.written(options)
        draft, spent = await self._draft(turn, prompt, options, tell), Usage()
        if stops and draft.cut_off:
            spent = draft.completion().usage
            unstopped = {name: value for name, value in options.items() if name != "stop"}
            draft = await self._draft(turn, prompt, unstopped, tell)
            if draft.text.strip():
                dialect.leave_out("stop", "begins with what should end its answers: no stop texts")
        self._say_what_was_learnt()
        lack = ""
        if not draft.text.strip():
            lack = self._faults.lack(
                thought=draft.thought,
                finish=draft.finish,
                refusal=draft.refusal,
                tokens=options["max_tokens"],
            )
        completion = draft.completion(lack)
        return replace(completion, usage=spent + completion.usage)

    async def _draft(
        self, turn: Turn, prompt: Prompt, options: dict[str, Any], tell: Callable[[str], None]
    ) -> Draft:
        """Return what is written, complete; arguments as for `_write`."""
        draft, over, blank = Draft(prompt), False, ""
        async with aclosing(turn.events(**options)) as events:
            async for chunk in events:
                over |= chunk is None
                blank += "" if chunk is None else draft.add(chunk)
                if blank.strip():
                    tell(blank)
                    blank = ""
                if draft.length > _LONGEST_TOKEN * (options["max_tokens"] + 64):
                    raise self._faults.endless(f"{options['max_tokens']} tokens were asked for")
        if not (over or draft.finish):
            raise self._faults.broke_off()
        if rest := blank + draft.end():
            tell(rest)
        return draft

    async def _choice(
        self, turn: Turn, prompt: Prompt, options: dict[str, Any], choices: Sequence[str]
    ) -> Verdict:
        reply = await turn.reply(max_tokens=1, **options)
        if thinks(reply) and self._max_tokens > MAX_TOKENS:  # then it was allowed for
            reply = await turn.reply(max_tokens=self._max_tokens, **options)
        try:
            return read_verdict(reply, prompt, choices)
        except NotACompletion as exc:
            lack = self._faults.lack(thought=thinks(reply), finish="", refusal="", tokens=1)
            raise self._faults.no_choice(str(exc), lack) from exc

    def _say_what_was_learnt(self) -> None:
        for note in self._endpoint.dialect.notes:
            if note not in self._said:
                self._said.add(note)
                log.warning("%s %s", self._faults.where, note)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return wait(self._background.while_waiting(work))


def _check_numbers(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if not number >= least:
            raise ValueError(f"{name} must be at least {least}, not {number!r}")


def _check_fields(extra_body: Mapping[str, Any]) -> None:
    if own := set(extra_body).intersection(OWN_FIELDS):
        raise ValueError(f"{min(own)!r} cannot be set in extra_body")
    try:
        json.dumps(dict(extra_body), allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"extra_body cannot be written as JSON: {exc}") from exc
