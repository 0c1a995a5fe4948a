"""The names by which the server is asked: a page of elsewhere cannot have its own name lead here.

A browser lets a page ask what its own name leads to. Whoever owns a name can have it lead to an
address of this machine or network, after the page was loaded (DNS rebinding): the page could then
ask, read answers and leave opinions where no key is needed. Such requests bear the name.
"""

import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import Refusal

ANY = "*"
_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d*)?")


class KnownHosts:
    """ASGI middleware that refuses requests for a host that is none of the server's names.

    Addresses and localhost are never refused, as nobody else can have them lead elsewhere, nor is a
    request without a host, which no browser sends: probes of health come by these.

    Args:
        app: what is asked.
        names: in small letters; "*.example.org" is all below example.org, "*" is any.

    Raises:
        Refusal: 421, where NumberRequests answers it. A websocket is closed.
    """

    def __init__(self, app: ASGIApp, names: tuple[str, ...]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan" or self._known(host := Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            raise Refusal(
                421,
                f"This server is not known as {host!r:.200}. Ask it by its address or as "
                "localhost; or whoever runs it adds that name to KBVQA_ALLOWED_HOSTS.",
            )

    def _known(self, host: str) -> bool:
        """Return whether the server may be asked as `host`, which a port may follow."""
        if not host or ANY in self._names:
            return True
        if (parts := _HOST.fullmatch(host)) is None:
            return False
        name = (parts[1] or parts[2] or "").lower().rstrip(".")
        return _is_here(name) or any(_covers(known, name) for known in self._names)


def _is_here(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True


def _covers(known: str, name: str) -> bool:
    return name.endswith(known[1:]) if known.startswith("*.") else name == known
