"""The replayer against a small real HTTP server that answers as the ingest does, bad days included."""

import gzip
import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zstandard
from django.core.management import CommandError, call_command

from usage.replay.delivery import Delivery
from usage.replay.progress import Progress
from usage.replay.run import Options, Replay

END = datetime(2026, 5, 1, tzinfo=UTC)


class Desk(ThreadingHTTPServer):
    """Keeps events by (key, time, id) as the ingest does; `troubles` are answered first, one per request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.stored: dict[tuple[str, str, str], dict] = {}
        self.troubles: list = []
        self.requests = 0
        self.reject = lambda event: False
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A reset connection is part of the test, not news."""

    def store(self, key: str, events: list[dict]) -> dict:
        answer = {"accepted": 0, "duplicates": 0, "rejected": []}
        for index, event in enumerate(events):
            name = (key, event["occurred_at"], event["event_id"])
            if self.reject(event):
                answer["rejected"].append({"index": index, "field": "model", "problem": "no"})
            elif name in self.stored:
                answer["duplicates"] += 1
            else:
                self.stored[name] = event
                answer["accepted"] += 1
        return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Quiet."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.requests += 1
            trouble = self.server.troubles.pop(0) if self.server.troubles else None
            if trouble in (None, "store, then reset"):
                answer = self.server.store(self.headers["Authorization"], self.events(body))
        if trouble in ("reset", "store, then reset"):
            self.reset()
            return
        status, headers, answer = trouble or (202, {}, answer)
        self.say(status, headers, answer)

    def reset(self):
        """Ends the connection without an answer, with a reset instead of a clean end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        self.close_connection = True

    def events(self, body: bytes) -> list[dict]:
        encoding = self.headers.get("Content-Encoding")
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "zstd":
            body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
        return [json.loads(line) for line in body.splitlines()]

    def say(self, status: int, headers: dict, answer: dict):
        text = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def desk():
    server = Desk()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def azure_file(tmp_path) -> Path:
    """400 rows in the form of the Azure trace: 8.5 minutes."""
    path = tmp_path / "made_conv.csv"
    start = datetime(2023, 11, 16, 18, 15, 46, 680590)
    rows = [f"{start + timedelta(seconds=1.28 * n)!s}0,{300 + n % 500},{1 + n % 90}\r\n" for n in range(400)]
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\r\n" + "".join(rows), newline="")
    return path


def options(desk: Desk, *files: Path, **more) -> Options:
    return Options(files=files, url=desk.url, keys=(("", "key-1"),), **{"end": END, "batch": 50, "give_up": 20} | more)


def replayed(tmp_path: Path, chosen: Options, **more) -> dict:
    return Replay(chosen, tmp_path / "state.json", out=io.StringIO(), **more).run()


def test_it_sends_every_row_once_and_ends_at_the_moment_asked_for(desk, azure_file, tmp_path):
    summary = replayed(tmp_path, options(desk, azure_file))
    assert (summary["accepted"], summary["duplicates"], summary["rejected"]) == (400, 0, 0)
    assert summary["complete"] and summary["unacknowledged"] == 0
    assert len(desk.stored) == 400
    assert max(at for _, at, _ in desk.stored) == "2026-05-01T00:00:00.000Z"
    assert summary["traces"][0]["made_up"]


def test_it_is_safe_to_run_twice(desk, azure_file, tmp_path):
    replayed(tmp_path, options(desk, azure_file, end="now"))
    again = replayed(tmp_path, options(desk, azure_file, end="now"))
    assert (again["accepted"], again["duplicates"], again["repeated"]) == (0, 400, True)
    assert len(desk.stored) == 400


def test_it_starts_anew_with_new_times_when_told_to(desk, azure_file, tmp_path):
    replayed(tmp_path, options(desk, azure_file, end="now"))
    assert replayed(tmp_path, options(desk, azure_file, end="now"), fresh=True)["accepted"] == 400


def test_it_waits_as_long_as_the_desk_asks(desk, azure_file, tmp_path):
    desk.troubles = [(503, {"Retry-After": "1"}, {}), (429, {"Retry-After": "1"}, {})]
    summary = replayed(tmp_path, options(desk, azure_file, connections=1))
    assert summary["accepted"] == 400
    assert summary["retries"] == 2
    assert summary["seconds"] >= 2


def test_it_loses_nothing_when_connections_are_reset(desk, azure_file, tmp_path):
    desk.troubles = ["reset", "store, then reset", "reset", (500, {}, {}), "store, then reset"]
    summary = replayed(tmp_path, options(desk, azure_file))
    assert len(desk.stored) == 400
    assert summary["accepted"] + summary["duplicates"] == 400
    # What was stored but never acknowledged: two batches, or one twice where its second try met the second such reset.
    assert summary["duplicates"] in (50, 100)
    assert summary["complete"]


def test_it_goes_on_where_it_was_after_giving_up(desk, azure_file, tmp_path):
    desk.troubles = [None] * 3 + [(503, {"Retry-After": "30"}, {})] * 40
    first = replayed(tmp_path, options(desk, azure_file, connections=1, give_up=0.1))
    assert (first["accepted"], first["complete"]) == (150, False)
    assert "Not acknowledged" in first["problem"]
    desk.troubles, before = [], desk.requests
    second = replayed(tmp_path, options(desk, azure_file, connections=1, give_up=0.1))
    assert (second["resumed_after"], second["accepted"], second["duplicates"]) == (150, 400, 0)
    assert desk.requests - before == 5
    assert len(desk.stored) == 400


def test_a_killed_replay_goes_on_and_stores_every_event_once(desk, azure_file, tmp_path):
    command = [sys.executable, "manage.py", "replay", str(azure_file), "--url", desk.url, "--key", "k", "--batch", "20"]
    command += ["--state", str(tmp_path / "state.json"), "--rate", "200"]
    root = Path(__file__).resolve().parents[1]
    first = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(desk.stored) < 100 and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert 100 <= len(desk.stored) < 400
    second = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=60)
    summary = json.loads(second.stdout)
    assert len(desk.stored) == 400
    assert summary["accepted"] + summary["duplicates"] == 400
    assert summary["complete"]


def test_a_state_of_other_options_is_refused(desk, azure_file, tmp_path):
    replayed(tmp_path, options(desk, azure_file))
    with pytest.raises(ValueError, match="other files, options"):
        replayed(tmp_path, options(desk, azure_file, batch=60))


def test_rejected_events_are_counted_shown_and_an_error(desk, azure_file, tmp_path, capsys):
    desk.reject = lambda event: event["input_tokens"] == 307
    with pytest.raises(CommandError, match="1 events were rejected"):
        call_command("replay", azure_file, url=desk.url, key=["k"], state=tmp_path / "s.json", end="now")
    said, told = capsys.readouterr()
    summary = json.loads(said)
    assert (summary["accepted"], summary["rejected"]) == (399, 1)
    assert summary["rejections"][0]["problem"] == "no"
    assert "made up" in told


def test_a_wrong_key_ends_the_replay_at_once(desk, azure_file, tmp_path):
    desk.troubles = [(401, {}, {"detail": "Unknown API key."})] * 20
    summary = replayed(tmp_path, options(desk, azure_file))
    assert "401" in summary["problem"] and "Unknown API key" in summary["problem"]
    assert not summary["complete"]


def test_clients_keep_their_team_however_the_keys_are_given(desk, azure_file, tmp_path):
    for order in (["b=key-b", "a=key-a"], ["a=key-a", "b=key-b"]):
        keys = [part for key in order for part in ("--key", key)]
        state = tmp_path / order[0]
        call_command("replay", str(azure_file), *keys, url=desk.url, state=state, end="2026-05-01T00:00:00Z", batch=70)
    assert len(desk.stored) == len({event_id for _, _, event_id in desk.stored}) == 400


@pytest.mark.parametrize("encoding", ["gzip", "zstd", ""])
def test_it_speaks_every_encoding(desk, azure_file, tmp_path, encoding):
    assert replayed(tmp_path, options(desk, azure_file, encoding=encoding))["accepted"] == 400


def test_it_scales_a_trace_up_and_down(desk, azure_file, tmp_path):
    more = replayed(tmp_path, options(desk, azure_file, events=1000), fresh=True)
    less = replayed(tmp_path, options(desk, azure_file, events=100), fresh=True)
    assert more["accepted"] == pytest.approx(1000, rel=0.1)
    assert less["accepted"] == pytest.approx(100, rel=0.3)


def test_it_stops_at_the_limit_and_keeps_to_the_rate(desk, azure_file, tmp_path):
    summary = replayed(tmp_path, options(desk, azure_file, limit=200, rate=200))
    assert summary["accepted"] == 200
    assert summary["seconds"] >= 0.7


def test_live_replay_runs_many_times_as_fast_and_is_over_now(desk, azure_file, tmp_path):
    began = datetime.now(UTC)
    summary = replayed(tmp_path, options(desk, azure_file, end=None, speed=256))
    times = sorted(datetime.fromisoformat(at) for _, at, _ in desk.stored)
    assert summary["accepted"] == 400
    assert times[0] - began < timedelta(seconds=1)
    assert timedelta(seconds=1.5) < times[-1] - times[0] < timedelta(seconds=2.5)
    assert times[-1] <= datetime.now(UTC) + timedelta(milliseconds=5)


def test_event_files_keep_their_times_and_can_be_shifted(desk, tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_text(
        "".join(
            json.dumps({"event_id": f"e{n}", "occurred_at": f"2026-04-01T10:00:0{n}+02:00", "operation": "chat"}) + "\n"
            for n in range(3)
        )
    )
    replayed(tmp_path, options(desk, path, end=None))
    assert sorted(at for _, at, _ in desk.stored)[0] == "2026-04-01T08:00:00.000000+00:00"
    desk.stored.clear()
    replayed(tmp_path, options(desk, path), fresh=True)
    assert sorted(at for _, at, _ in desk.stored)[-1] == "2026-05-01T00:00:00.000000+00:00"


def test_files_that_are_no_trace_are_named(tmp_path, desk):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CommandError, match=r"other\.csv: expected a ServeGen"):
        call_command("replay", path, url=desk.url, key=["k"])


def test_a_line_that_is_no_event_is_named(tmp_path, desk):
    path = tmp_path / "events.ndjson"
    path.write_text('{"occurred_at": "2026-04-01T10:00:00Z"}\n{"occurred_at": 5}\n')
    with pytest.raises(CommandError, match="line 2"):
        call_command("replay", path, url=desk.url, key=["k"])


def test_the_wait_between_tries_grows_and_is_bounded(desk):
    delivery = Delivery("http://127.0.0.1:1", encoding="", give_up=1, stop=threading.Event())
    waits = [delivery._try(b"", {}, 0, retries)[0] for retries in (0, 3, 30)]
    assert waits[0] < waits[1] <= 1.6 and 5 <= waits[2] <= 10


def test_progress_is_plain_lines_without_a_terminal():
    out = io.StringIO()
    progress = Progress(out, total=200, done=0)
    progress.show({"accepted": 100, "duplicates": 0, "rejected": 0})
    assert out.getvalue().count("\n") == 1
    assert "\r" not in out.getvalue()
    assert progress.line({"accepted": 100, "duplicates": 0, "rejected": 0}, 10) == (
        "[##############..............]  50.0%  10/s  0:00:10 left  100 accepted, 0 duplicates"
    )
