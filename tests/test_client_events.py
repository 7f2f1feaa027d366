"""The Python client sends usage events until the desk has them, each once."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest
from aiops_desk import Desk, DeskUnavailable, RequestRefused

from aiops_site.desk.supervisor import wait_for
from tests.guard import CALL_USD
from tests.test_guard_bad_days import execute, ledger, make_budget, web_processes


def event(call: dict, number: int = 1, **more) -> dict:
    named = {"event_id": f"{call['feature'][:150]}-{number}", "occurred_at": datetime.now(UTC)}
    return named | {"feature": call["feature"], "provider": "openai", "model": "gpt-4o", "input_tokens": 10} | more


def stored(desk, call: dict) -> int:
    sql = "SELECT count(*) FROM usage_event e JOIN usage_series s ON (s.team_id, s.id) = (e.team_id, e.series_id)"
    return execute(desk, f"{sql} WHERE s.feature = %s", (call["feature"],))[0][0]


@contextmanager
def busy(statuses: list[int], headers: dict[str, str]):
    """The address of a proxy whose desk is busy: it answers with the statuses in turn; and what it was sent."""
    seen: list[tuple[float, dict, bytes]] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((time.monotonic(), dict(self.headers), body))
            status = statuses[min(len(seen), len(statuses)) - 1]
            answer = b'{"accepted":1,"duplicates":0,"rejected":[],"rejected_count":0}' if status == 202 else b"busy"
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(answer))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def test_events_are_committed_when_it_returns_and_sending_them_again_counts_as_duplicates(desk, caller, call):
    events = [event(call, number, reported_cost_usd=Decimal("0.000000000001")) for number in range(50)]
    first, again = (caller.send_events(events) for _ in range(2))
    assert (first.accepted, again.accepted, again.duplicates) == (50, 0, 50)
    assert stored(desk, call) == 50


def test_an_event_without_an_id_gets_one(desk, caller, call):
    assert caller.send_events([{"feature": call["feature"], "model": "gpt-4o"}]).accepted == 1
    assert stored(desk, call) == 1


@pytest.mark.parametrize("good", [0, 1], ids=["all bad", "one bad"])
def test_bad_events_are_listed_and_the_others_taken(desk, caller, call, good):
    events = [event(call, number) for number in range(good)] + [event(call, 9, input_tokens=-1)]
    told = caller.send_events(events)
    assert (told.accepted, told.rejected_count) == (good, 1)
    [wrong] = told.rejected
    assert (wrong.index, wrong.field, wrong.event_id) == (good, "input_tokens", events[-1]["event_id"])
    assert stored(desk, call) == good


def test_a_time_without_a_zone_is_refused_before_anything_is_sent(desk, caller, call):
    with pytest.raises(TypeError, match="zone"):
        caller.send_events([event(call, occurred_at=datetime(2026, 1, 1))])
    assert stored(desk, call) == 0


def test_what_is_wrong_with_the_whole_batch_is_raised(desk, caller):
    with pytest.raises(RequestRefused):
        caller.send_events([])
    with Desk(desk.url, "aod_nobody_nothing") as stranger, pytest.raises(RequestRefused) as refused:
        stranger.send_events([{"model": "gpt-4o"}])
    assert refused.value.status == 401


def test_a_web_process_killed_in_the_middle_loses_and_doubles_nothing(desk, caller_key, call):
    stop = threading.Event()

    def killer() -> None:
        while not stop.wait(0.5):
            for pid in web_processes(desk):
                os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=killer)
    with Desk(desk.url, caller_key) as caller:
        killing.start()
        try:
            for batch in range(20):
                caller.send_events([event(call, batch * 100 + number) for number in range(100)])
                time.sleep(0.1)
        finally:
            stop.set()
            killing.join()
    assert stored(desk, call) == 2000


def test_a_busy_desk_is_asked_again_with_the_same_request_after_the_time_it_names():
    with busy([429, 503, 202], {"Retry-After": "1"}) as (url, seen), Desk(url, "aod_some_key") as caller:
        assert caller.send_events([{"event_id": "a"}]).accepted == 1
    times, headers, bodies = zip(*seen, strict=True)
    assert all(1 <= later - earlier < 2 for earlier, later in pairwise(times))
    assert len({one["Idempotency-Key"] for one in headers}) == len(set(bodies)) == 1
    assert headers[0]["Content-Encoding"] == "gzip"


def test_patience_has_an_end():
    with busy([503], {}) as (url, seen), Desk(url, "aod_some_key", patience=1) as caller:
        began = time.monotonic()
        with pytest.raises(DeskUnavailable):
            caller.send_events([{"event_id": "a"}])
        assert time.monotonic() - began < 1.5
    assert len(seen) >= 2


def test_a_wait_beyond_the_patience_is_not_begun():
    gone = pytest.raises(DeskUnavailable)
    with busy([503], {"Retry-After": "3600"}) as (url, seen), Desk(url, "aod_some_key") as caller, gone as raised:
        caller.send_events([{"event_id": "a"}])
    assert (raised.value.retry_after, len(seen)) == (3600, 1)


def test_an_event_that_names_a_reservation_replaces_its_estimate(desk, caller, caller_key, call):
    budget = make_budget(desk, caller_key, Decimal(1), call["feature"])
    with caller.guard(**call) as held:
        pass
    assert ledger(desk, budget) == (CALL_USD, 0)
    caller.send_events([event(call, input_tokens=1000, output_tokens=50, reservation_id=held.id)])
    wait_for(lambda: ledger(desk, budget) == (Decimal("0.003"), 0), 20)
