"""What comes to the page with a request: bounded, in bytes and in time, before Gradio reads it.

Gradio keeps in memory what is no file, as much as comes and as long as it takes; JSON before it
looks whether the sender has logged in. Of an upload that is cut it leaves what came where it lies.
"""

from collections.abc import Callable
from pathlib import Path

import anyio
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.serving.uploads import make_room
from corpus.pictures.images import MAX_IMAGE_BYTES

READ_SECONDS = 120.0
MOST_FORM_BYTES = MAX_IMAGE_BYTES + (1 << 20)  # one picture, and what a form says of it
MOST_TEXT_BYTES = 4 << 20  # an answer that the browser kept, and what stands beside it
MOST_HELD_BYTES = 1 << 29  # of all bodies that are still coming
_CLIENT_GONE = 499
# For Gradio's recorder of screens, which this page has not: it hands films to ffmpeg.
_SHUT = "/gradio_api/process_recording"


class BoundedBodies:
    """ASGI middleware that ends a request whose body is too large, too slow, or cut.

    Args:
        app: the page.
        uploads: the folder of uploads, in which there is made room for each.
    """

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self._app, self._uploads = app, uploads
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].rstrip("/").endswith(_SHUT):
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
            return
        form = Headers(scope=scope).get("content-type", "").lower().startswith("multipart/")
        if form:
            await to_thread.run_sync(make_room, self._uploads)
        body = _Body(receive, MOST_FORM_BYTES if form else MOST_TEXT_BYTES, self._hold)
        begun = False

        async def unless_refused(message: Message) -> None:
            nonlocal begun
            if body.refusal is None or begun:
                begun = True
                await send(message)

        try:
            await self._app(scope, body.receive, unless_refused)
        except Exception:
            if body.refusal is None:
                raise
        finally:
            self._held -= body.held
        if body.refusal is not None and not begun:
            await body.refusal(scope, receive, send)

    def _hold(self, size: int) -> bool:
        """Count so many bytes of a body, and return whether there was room for them."""
        if self._held + size > MOST_HELD_BYTES:
            return False
        self._held += size
        return True


class _Body:
    """The body of one request, which ends as if its sender had gone where it may not go on.

    Attributes:
        held: bytes that came.
        refusal: what answers the request then; None while it may go on.
    """

    def __init__(self, receive: Receive, most: int, hold: Callable[[int], bool]) -> None:
        self._receive, self._most, self._hold = receive, most, hold
        self._ends, self._whole = anyio.current_time() + READ_SECONDS, False
        self.held = 0
        self.refusal: Response | None = None

    async def receive(self) -> Message:
        """Return the next part; what comes after the last one is not looked at."""
        if self._whole:
            return await self._receive()
        if self.refusal is None:
            try:
                with anyio.fail_after(self._ends - anyio.current_time()):
                    message = await self._receive()
            except TimeoutError:
                self._refuse(408, f"The request was not there after {READ_SECONDS:.0f} s.")
            else:
                self._take(message)
        return message if self.refusal is None else {"type": "http.disconnect"}

    def _take(self, message: Message) -> None:
        size = len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            self._refuse(_CLIENT_GONE, "")
        elif self.held + size > self._most:
            most = f"{self._most >> 20} MB"
            self._refuse(413, f"The request is larger than {most}. Send a smaller picture.")
        elif not self._hold(size):
            self._refuse(503, "Too much is being sent to this server. Try again in a minute.")
        else:
            self.held += size
            self._whole = not message.get("more_body", False)

    def _refuse(self, status: int, why: str) -> None:
        self.refusal = PlainTextResponse(why, status)
