"""What a server and its model can do, found out with requests for one token each.

A model's card does not say what its server lets through, so it is asked. First comes a request
with nothing special: a server that refuses even that says nothing about what it can do.
"""

from typing import Any, NamedTuple

from PIL import Image

from generator.errors import GeneratorError
from generator.interface import Capabilities
from generator.pictures import image_data_uri
from generator.server.background import together
from generator.server.endpoint import Endpoint
from generator.server.faults import Refusal
from generator.server.wire.protocol import TOP_LOGPROBS, first_choice, has_logprobs, reply_text

# What no model says unless it is held to it.
_UNASKED = "zyzzyva"
_HELD = {"structured_outputs": {"choice": [_UNASKED]}}
# Refusals that are about the key, and about the quota or the moment: not about what was asked for.
_OF_KEYS, _PASSING = (401, 407), (402, 408, 409, 425, 429)
_CONTEXT = (
    "max_model_len", "context_length", "max_context_length", "context_window", "n_ctx",
)  # fmt: skip


class Findings(NamedTuple):
    """What was found out.

    Attributes:
        can: what the model can do.
        unsettled: what the server failed at, or refused for now: it may work later.
    """

    can: Capabilities
    unsettled: tuple[str, ...]


class _Failure(NamedTuple):
    """The server broke on a request, or refused it for now: nothing is known."""

    status: int


async def probe(endpoint: Endpoint) -> Findings:
    """Return what the model can do.

    Raises:
        GeneratorError: it is not reached, or does not answer as the protocol says.
    """
    await _asked(endpoint)
    images: Any = None
    if endpoint.api == "completions":
        logprobs, choices, context = await together(
            [
                _tried(endpoint, logprobs=1),
                _tried(endpoint, **_HELD),
                _context_tokens(endpoint),
            ]
        )
    else:
        blank = image_data_uri(Image.new("RGB", (56, 56), "white"))
        top = TOP_LOGPROBS["chat"]
        images, logprobs, choices, context = await together(
            [
                _tried(endpoint, [{"type": "image_url", "image_url": {"url": blank}}]),
                _tried(endpoint, logprobs=True, top_logprobs=top),
                _tried(endpoint, **_HELD),
                _context_tokens(endpoint),
            ]
        )
    found = {"pictures": images, "log-probabilities": logprobs, "choices": choices}
    can = Capabilities(
        images=isinstance(images, dict),
        logprobs=isinstance(logprobs, dict) and has_logprobs(logprobs, endpoint.api),
        choices=isinstance(choices, dict) and _was_held(choices),
        context_tokens=context,
    )
    return Findings(can, tuple(what for what, had in found.items() if isinstance(had, _Failure)))


async def _asked(
    endpoint: Endpoint, more: list[dict[str, Any]] | None = None, **options: Any
) -> dict[str, Any]:
    """Return the reply to a request for one token, in a turn of its own."""
    text = "Say yes."
    if endpoint.api == "completions":
        asked: dict[str, Any] = {"prompt": text}
    else:
        content = [*more, {"type": "text", "text": text}] if more else text
        asked = {"messages": [{"role": "user", "content": content}]}
    async with endpoint.turn() as turn:
        return await turn.reply(max_tokens=1, temperature=0, **asked, **options)


async def _tried(endpoint: Endpoint, *content: Any, **options: Any) -> Any:
    """Return the same; None where it is refused.

    `_Failure` where the server breaks on it twice, or refuses it for the quota or the moment: it
    took the request with nothing special.
    """
    failed: _Failure | None = None
    for _ in range(2):
        try:
            return await _asked(endpoint, *content, **options)
        except GeneratorError as exc:
            refused = exc.__cause__
            if not isinstance(refused, Refusal) or refused.status in _OF_KEYS:
                raise
            if refused.status in _PASSING:
                return _Failure(refused.status)
            if refused.status < 500 or refused.status == 501 or refused.is_about_pictures:
                return None
            failed = _Failure(refused.status)
    return failed


async def _context_tokens(endpoint: Endpoint) -> int | None:
    for model in await endpoint.models():
        if model.get("id") in (endpoint.model, f"{endpoint.model}:latest"):
            places = [place for place in (model, model.get("meta")) if isinstance(place, dict)]
            said = (place.get(name) for place in places for name in _CONTEXT)
            # In JSON true is no number; in Python it is.
            return next((n for n in said if type(n) is int and n > 0), None)
    return None


def _was_held(reply: dict[str, Any]) -> bool:
    said = reply_text(reply) if first_choice(reply) else ""
    return bool(said) and _UNASKED.startswith(said)
