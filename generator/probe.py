"""What a server and its model can do, found out with requests for one token each.

A model's card does not say what its server lets through, so it is asked.
"""

from typing import Any

from PIL import Image

from generator.background import together
from generator.connection import Connection
from generator.interface import Capabilities
from generator.pictures import image_data_uri
from generator.protocol import TOP_LOGPROBS, token_text

# What no model says unless it is held to it.
_UNASKED = "zyzzyva"
_HELD = {"structured_outputs": {"choice": [_UNASKED]}}


async def probe(connection: Connection) -> Capabilities:
    """Return what the model can do.

    Raises:
        GeneratorError: it is not reached, or does not answer as the protocol says.
    """
    async with connection.turn():
        context = await _context_tokens(connection)
    if connection.api == "completions":
        logprobs, choices = await together(
            [
                connection.token_if_accepted("completions", prompt="1 2 3", logprobs=1),
                connection.token_if_accepted("completions", prompt="Say yes.", extra_body=_HELD),
            ]
        )
        return Capabilities(
            images=False,
            logprobs=_has_logprobs(logprobs, "token_logprobs"),
            choices=_was_held(choices),
            context_tokens=context,
        )
    blank = image_data_uri(Image.new("RGB", (56, 56), "white"))
    text = {"type": "text", "text": "Say yes."}
    images, logprobs, choices = await together(
        [
            _asked(connection, [{"type": "image_url", "image_url": {"url": blank}}, text]),
            _asked(connection, [text], logprobs=True, top_logprobs=TOP_LOGPROBS["chat"]),
            _asked(connection, [text], extra_body=_HELD),
        ]
    )
    return Capabilities(
        images=images is not None,
        logprobs=_has_logprobs(logprobs, "content"),
        choices=_was_held(choices),
        context_tokens=context,
    )


async def _asked(connection: Connection, content: list[Any], **options: Any) -> Any:
    messages = [{"role": "user", "content": content}]
    return await connection.token_if_accepted("chat", messages=messages, temperature=0, **options)


async def _context_tokens(connection: Connection) -> int | None:
    for model in await connection.models():
        if model.id == connection.model:
            return getattr(model, "max_model_len", None)
    return None


def _was_held(reply: Any) -> bool:
    said = token_text(reply).strip() if getattr(reply, "choices", None) else ""
    return bool(said) and _UNASKED.startswith(said)


def _has_logprobs(reply: Any, where: str) -> bool:
    """Return whether a reply says how probable its token was, and in chat the alternatives."""
    choices = getattr(reply, "choices", None)
    tokens = getattr(getattr(choices[0], "logprobs", None), where, None) if choices else None
    if not tokens:
        return False
    return where != "content" or bool(tokens[0].top_logprobs)
