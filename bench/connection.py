"""A bare HTTP/1.1 client: the load generator shares two cores with what it measures, so it does next to nothing."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, header lines (bytes, as sent) and body of a response."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> list[bytes]:
        """Values of a header, in order."""
        wanted = name.lower() + b":"
        lines = self.head.split(b"\r\n")[1:]
        return [line[len(wanted) :].strip() for line in lines if line.lower().startswith(wanted)]


class Connection:
    """One keep-alive connection; the server must send Content-Length or chunks."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def send(self, request: bytes) -> Answer:
        """The answer to a whole request, made by `post` or `get_request`."""
        self.socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head, body = data[:end], data[end + 4 :]
        return Answer(int(head[9:12]), head, self._body(head, body))

    def get(self, path: str, headers: str = "") -> Answer:
        """GET a path; `headers` are whole lines, each ending in CRLF."""
        return self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())

    def _more(self) -> bytes:
        if not (data := self.socket.recv(_CHUNK)):
            raise ConnectionError("the server closed the connection")
        return data

    def _body(self, head: bytes, body: bytes) -> bytes:
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at < 0:
            return self._chunks(body) if b"transfer-encoding: chunked" in lower else body
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._more()
        return body

    def _chunks(self, data: bytes) -> bytes:
        while not data.endswith(b"0\r\n\r\n"):
            data += self._more()
        return data


def post(path: str, body: bytes, headers: str) -> bytes:
    """A whole POST request; `headers` are whole lines, each ending in CRLF."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@dataclass
class Load:
    """What a number of connections did: seconds from first to last, seconds of each request, answers by status."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    accepted: int = 0
    failures: list[Answer] = field(default_factory=list)


def accepted_of(answer: Answer) -> int:
    """Events a 202 of the ingest says it accepted."""
    at = answer.body.index(b'"accepted":') + 11
    return int(answer.body[at : answer.body.index(b",", at)])


def send_all(port: int, requests: Iterable[bytes], connections: int, load: Load | None = None) -> Load:
    """Send prepared ingest requests over several connections, each taking the next one when it has its answer.

    `load` may be watched from another thread meanwhile.
    """
    load = load or Load()
    waiting = iter(requests)
    lock = threading.Lock()
    threads = [threading.Thread(target=_sender, args=(port, waiting, lock, load)) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - began
    return load


def _sender(port: int, waiting: Iterator[bytes], lock: threading.Lock, load: Load) -> None:
    with Connection(port) as link:
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            began = time.perf_counter()
            answer = link.send(request)
            load.latencies.append(time.perf_counter() - began)
            count = accepted_of(answer) if answer.status == 202 else 0
            with lock:
                load.accepted += count
                if answer.status != 202:
                    load.failures.append(answer)
