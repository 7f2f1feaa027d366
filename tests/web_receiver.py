"""A web server that takes notifications as a chat, pager or webhook service would, and answers as it is told."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """`hangs`: seconds before the answer; `drips`: seconds between the bytes of its body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hangs: float = 0.0
    drips: float = 0.0


class Receiver(ThreadingHTTPServer):
    """`received`: in order; `reply`: of every request; `on_request`: called before it is answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.reply = Reply()
        self.on_request: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def handle_error(self, request, client_address) -> None:
        """Senders that went away are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.path, headers, body))
        self.server.on_request()
        self._answer(self.server.reply)

    do_GET = do_POST

    def _answer(self, reply: Reply) -> None:
        time.sleep(reply.hangs)
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for byte in reply.body if reply.drips else [reply.body]:
            self.wfile.write(bytes([byte]) if reply.drips else reply.body)
            self.wfile.flush()
            time.sleep(reply.drips)

    def log_message(self, *args) -> None:
        """Nobody reads it."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running one, gone afterwards."""
    server = Receiver()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
