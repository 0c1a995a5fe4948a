"""A small HTTP server that speaks the OpenAI protocol, and breaks it on demand."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-secret-4711"
MODEL = "reader-1"


@dataclass
class Server:
    """The server's address, what it received, and what it does with a completion."""

    url: str = ""
    key: str = KEY
    model: str = MODEL
    answer: Callable[["Handler"], None] = lambda handler: handler.events(" Paris", " [1]", "\nQ")
    requests: list[dict] = field(default_factory=list)
    # What it can do, found out by requests for one token, which are not in `requests`.
    images: bool = True
    logprobs: bool = True
    choices: bool = True
    models: Callable[["Handler"], None] = lambda handler: handler.list_models()
    judge: Callable[["Handler", dict], None] = lambda handler, body: handler.one_token(body)
    # Gives status and words where a request is refused before anything else.
    refuse: Callable[[dict], tuple[int, str] | None] = lambda body: None
    probes: list[dict] = field(default_factory=list)
    # Of the client's end, one for each connection.
    ports: set[int] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """Chat, completions and the list of models, behind a key."""

    protocol_version = "HTTP/1.1"
    state: Server

    def setup(self) -> None:
        super().setup()
        self.state.ports.add(self.client_address[1])

    def do_GET(self) -> None:
        if self.path == "/health":  # as vLLM has it, told to everybody
            self.reply(200, "")
            return
        if not self.authorized():
            return
        self.state.models(self)

    def list_models(self) -> None:
        self.reply(200, json.dumps({"data": [{"id": self.state.model, "max_model_len": 2048}]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked = body
        if said := self.state.refuse(body):
            self.error(*said)
            return
        seen = self.state.requests if body.get("stream") else self.state.probes
        seen.append({"path": self.path, **body})
        if not self.authorized():
            return
        if body["model"] != self.state.model:
            self.error(404, f"The model `{body['model']}` does not exist.")
            return
        self.chat = self.path.partition("?")[0].endswith("/chat/completions")
        if not body.get("stream"):
            self.state.judge(self, body)
            return
        with self.state.lock:
            self.state.at_once += 1
            self.state.most_at_once = max(self.state.most_at_once, self.state.at_once)
        try:
            self.state.answer(self)
        finally:
            with self.state.lock:
                self.state.at_once -= 1

    def one_token(self, body: dict) -> None:
        """Answer a request for one token by what the server can do."""
        content = body["messages"][-1]["content"] if self.chat else body["prompt"]
        if not self.state.images and not isinstance(content, str) and len(content) > 1:
            self.error(400, "this model takes no image")
            return
        held = body.get("structured_outputs", {}).get("choice")
        if held and not self.state.choices:
            held = None
        text = held[0][:3] if held else "yes"
        choice: dict = {"index": 0, "finish_reason": "length"}
        choice |= {"message": {"content": text}} if self.chat else {"text": text}
        if body.get("logprobs") and self.state.logprobs:
            likely = {" yes": -0.5, "No": -1.5, "x": -3.0}
            top = [{"token": token, "logprob": p} for token, p in likely.items()]
            entry = {"token": "yes", "logprob": -0.5, "top_logprobs": top}
            plain = {"token_logprobs": [-0.5], "top_logprobs": [likely]}
            choice["logprobs"] = {"content": [entry]} if self.chat else plain
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        self.reply(200, json.dumps({"choices": [choice], "usage": usage}))

    def authorized(self) -> bool:
        sent = self.headers.get("Authorization")
        if sent != f"Bearer {self.state.key}":
            self.error(401, f"Incorrect API key provided: {sent}")
        return sent == f"Bearer {self.state.key}"

    def error(self, status: int, message: str) -> None:
        self.reply(status, json.dumps({"error": {"message": message, "code": status}}))

    def reply(self, status: int, body: str, kind: str = "application/json", **headers: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def start_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_event(self, **event: object) -> None:
        self.send_chunk(f"data: {json.dumps(event)}\n\n".encode())

    def send_piece(self, text: str | None, finish: str | None = None) -> None:
        body: dict = {"delta": {"content": text}} if self.chat else {"text": text}
        if text and self.state.logprobs:
            entries = [{"token": text, "logprob": -0.25}]
            body["logprobs"] = {"content": entries} if self.chat else {"token_logprobs": [-0.25]}
        self.send_event(choices=[{"index": 0, "finish_reason": finish, **body}])

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def events(self, *pieces: str) -> None:
        self.start_events()
        for piece in pieces:
            self.send_piece(piece)
        self.send_piece("", "stop")
        usage = {"prompt_tokens": 500, "completion_tokens": len(pieces), "total_tokens": 500}
        self.send_event(choices=[], usage=usage)
        self.end_events()

    def end_events(self) -> None:
        self.send_chunk(b"data: [DONE]\n\n")
        self.send_chunk(b"")

    def drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def endless(self, piece: str | None) -> None:
        self.start_events()
        while not self.state.stopping.is_set():
            self.send_piece(piece)
            time.sleep(0.01)

    def handle(self) -> None:
        # The client hangs up in the middle, which is what some tests want.
        with suppress(OSError, ValueError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def answer_with_all(handler: Handler) -> None:
    """Write a word of all that was sent, picture included, and cite the first passage.

    An answer to less than the whole prompt is another answer.
    """
    asked = handler.asked["messages" if handler.chat else "prompt"]
    word = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    handler.events(f" c{word[:6]}", word[6:], " [1]")


@contextmanager
def serve(
    port: int = 0, *, address: str = "127.0.0.1", key: str = KEY, model: str = MODEL
) -> Iterator[Server]:
    """Give a server on a port of this machine, a free one unless it is named."""
    state = Server(key=key, model=model)
    handler = type("BoundHandler", (Handler,), {"state": state})
    with _Listener((address, port), handler) as httpd:
        state.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            state.stopping.set()
            httpd.shutdown()
            thread.join()
