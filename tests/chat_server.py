"""A server that speaks the chat completions protocol, in place of the provider. Words are its tokens."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = [
    "The",
    "sky",
    "is",
    "blue",
    "because",
    "air",
    "scatters",
    "short",
    "waves",
    "more",
    "than",
    "long",
    "ones",
    ".",
]
CACHED = 4


class ChatServer(ThreadingHTTPServer):
    """`asked`: the requests it had. `breaks_after`: chunks after which a stream breaks off, None for never."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict] = []
        self.breaks_after: int | None = None
        self.fails = False
        self.seconds_per_word = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, **asked})
        if self.server.fails:
            self._send(400, {"error": {"message": "bad prompt", "type": "invalid_request_error"}})
        elif asked.get("stream"):
            self._stream(asked)
        else:
            self._send(200, _completion(asked))

    def _send(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, asked: dict) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, content in enumerate(_chunks(asked)):
            if number == self.server.breaks_after:
                self.close_connection = True
                return
            self._event(json.dumps(content))
            time.sleep(self.server.seconds_per_word)
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, text: str) -> None:
        line = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_args) -> None:
        pass


def _words(asked: dict) -> list[str]:
    return WORDS[: asked.get("max_completion_tokens")]


def _usage(asked: dict) -> dict:
    prompt = sum(len(message["content"].split()) for message in asked["messages"])
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(_words(asked)),
        "total_tokens": prompt + len(_words(asked)),
        "prompt_tokens_details": {"cached_tokens": min(CACHED, prompt)},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _frame(asked: dict, kind: str, choices: list[dict], usage: dict | None) -> dict:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1,
        "model": asked["model"],
        "choices": choices,
        "usage": usage,
    }


def _completion(asked: dict) -> dict:
    message = {"role": "assistant", "content": " ".join(_words(asked))}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _frame(asked, "chat.completion", [choice], _usage(asked))


def _chunks(asked: dict):
    """One chunk a word, and with include_usage one more without choices."""
    for word in _words(asked):
        delta = {"role": "assistant", "content": f"{word} "}
        yield _frame(asked, "chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": None}], None)
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _frame(asked, "chat.completion.chunk", [], _usage(asked))


@contextmanager
def chat_server():
    server = ChatServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
