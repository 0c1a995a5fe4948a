"""What is changed in the pages of HTML that Gradio makes: their preview, and what they may load.

The policy lets a page load nothing from elsewhere, and run scripts that came with it alone: each
page names its own with a word that nobody can guess, so that markup which slipped into a text runs
nothing. Gradio makes functions of texts ('unsafe-eval') and styles its elements one by one.
"""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.serving.preview import reworded

_SCRIPT = re.compile(rb"<script(?=[\s>])")


def policy(nonce: str) -> str:
    """Return the Content-Security-Policy of a page whose scripts have this word."""
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


class OwnPages:
    """ASGI middleware that changes pages of HTML; whatever else there is has its headers alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        start: Message | None = None
        body = b""

        async def change(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = policy(nonce)
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/html"):
                    start = message
                    return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                html = _SCRIPT.sub(f'<script nonce="{nonce}"'.encode(), reworded(body))
                MutableHeaders(scope=start)["content-length"] = str(len(html))
                await send(start)
                await send({"type": "http.response.body", "body": html})

        await self._app(scope, receive, change)
