"""The Python client on a bad day: the desk slow, dripping, restarted, or without its database."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager
from decimal import Decimal

import httpx
import pytest
from aiops_desk import Denied, Desk, DeskUnavailable

from tests.client import PATIENT, key_of
from tests.guard import CALL, CALL_USD
from tests.running_desk import free_port, new_desk
from tests.test_guard_bad_days import execute, ledger, make_budget, web_processes

USD = Decimal("0.001")


@pytest.fixture(scope="module")
def away_desk():
    """A desk for this file alone, which stops it in every way."""
    with new_desk() as running:
        yield running


@pytest.fixture(scope="module")
def away_key(away_desk) -> str:
    return key_of(away_desk)


@contextmanager
def frozen(desk):
    """Its web processes take connections and answer nothing."""
    pids = web_processes(desk)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def without_database(desk):
    os.kill(desk.process.pid, signal.SIGSTOP)  # or it would start the database again at once
    try:
        desk.kill("postgres")
        time.sleep(0.5)
        yield
    finally:
        os.kill(desk.process.pid, signal.SIGCONT)
        desk.wait_ready()


@contextmanager
def dripping():
    """The address of a server that answers one byte every 50 ms and never ends; how many connections it had."""
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip() -> None:
        while not over.is_set():
            link, _ = listening.accept()
            with link:
                link.recv(65_536)
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
                try:
                    while not over.wait(0.05):
                        link.sendall(b" ")
                except OSError:
                    continue

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        listening.close()


def asking(desk, key: str, **more) -> Desk:
    return Desk(desk.url, key, **{"timeout": 0.5} | more)


def fail_closed(desk, budget: int) -> None:
    execute(desk, "UPDATE budgets_budget SET on_failure = 'closed' WHERE id = %s", (budget,))


def test_with_a_slow_desk_fail_open_goes_on_with_what_was_asked_within_the_time_out(away_desk, away_key):
    with asking(away_desk, away_key, fail="open") as caller, frozen(away_desk):
        began = time.monotonic()
        with caller.guard(feature="slow", **CALL) as held:
            took = time.monotonic() - began
            assert (held.guarded, held.id, held.decision) == (False, None, "allow")
            assert (held.model, held.max_output_tokens, held.provider) == ("gpt-4o", 100, "openai")
            assert held.reason.code == "desk_unavailable"
            assert held.settle(input_tokens=1000, output_tokens=10) is None
        assert 0.5 <= took < 1.5
        assert caller.unsent == 0


def test_with_a_slow_desk_fail_closed_raises_before_the_block(away_desk, away_key):
    caller = asking(away_desk, away_key, fail="closed")
    refused = pytest.raises(DeskUnavailable, match="did not answer")
    with caller, frozen(away_desk), refused, caller.guard(feature="slow", **CALL):
        pytest.fail("the block must not run")


def test_a_desk_that_only_drips_is_late_all_the_same():
    with dripping() as url, Desk(url, "aod_some_key", timeout=0.4, fail="closed") as caller:
        began = time.monotonic()
        with pytest.raises(DeskUnavailable):
            caller.check(**CALL)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>Please sign in</html>"),
        (200, b"[]"),
        (200, b'{"decision": "perhaps"}'),
        (502, b"<html>Bad gateway</html>"),
        (503, b'{"error": "no", "fallback": "none"}'),
        (429, b""),
    ],
    ids=["html", "array", "unknown decision", "bad gateway", "strange 503", "too many"],
)
def test_an_answer_that_cannot_be_read_is_none(status, body):
    anything = httpx.MockTransport(lambda _request: httpx.Response(status, content=body))
    with Desk("http://desk.example", "aod_some_key", transport=anything) as caller:
        assert caller.reserve(**CALL).guarded is False
        with pytest.raises(DeskUnavailable):
            caller.batch([{"op": "reserve", **CALL}])


def test_with_nobody_listening_the_policy_decides_at_once():
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Desk(nowhere, "aod_some_key", timeout=5) as caller:
        began = time.monotonic()
        assert caller.reserve(**CALL).guarded is False
        assert time.monotonic() - began < 1
    with Desk(nowhere, "aod_some_key", fail="closed") as caller, pytest.raises(DeskUnavailable):
        caller.check(**CALL)


def test_as_told_remembers_which_budgets_fail_closed(away_desk, away_key):
    fail_closed(away_desk, make_budget(away_desk, away_key, Decimal(1), "strict"))
    make_budget(away_desk, away_key, Decimal(1), "lenient")
    with asking(away_desk, away_key) as caller:
        for feature in ("strict", "lenient"):
            patiently(lambda feature=feature: caller.check(feature=feature, **CALL).guarded)
        with frozen(away_desk):
            assert caller.reserve(feature="lenient", **CALL).guarded is False
            with pytest.raises(DeskUnavailable):
                caller.reserve(feature="strict", **CALL)
            with pytest.raises(DeskUnavailable):
                caller.reserve(feature="strict", tenant="never asked about", **CALL)


def test_without_its_database_the_desk_says_which_calls_may_go_on(away_desk, away_key):
    fail_closed(away_desk, make_budget(away_desk, away_key, Decimal(1), "firm"))
    with asking(away_desk, away_key, timeout=PATIENT) as warm:
        assert warm.check(feature="firm", **CALL).guarded
    # New clients: they remember nothing, the desk does.
    told, own = (asking(away_desk, away_key, timeout=5, fail=fail) for fail in ("as_told", "open"))
    with told, own, without_database(away_desk):
        with pytest.raises(DeskUnavailable) as gone:
            told.reserve(feature="firm", **CALL)
        assert (gone.value.told, gone.value.retry_after) == ("deny", 1)
        assert told.reserve(feature="free", **CALL).guarded is False
        assert own.reserve(feature="firm", **CALL).guarded is False


def test_a_settlement_while_the_desk_is_down_is_booked_when_it_is_back(away_desk, away_key):
    budget = make_budget(away_desk, away_key, Decimal(1), "restarted")
    with asking(away_desk, away_key, timeout=5) as caller:
        patiently(lambda: caller.check(feature="restarted", **CALL).guarded)  # the database has only just come back
        with caller.guard(feature="restarted", **CALL) as held:
            assert ledger(away_desk, budget) == (0, CALL_USD)
            away_desk.stop()
            assert held.settle(cost_usd=USD) is None
        assert caller.unsent == 1
        assert caller.flush() == 1
        away_desk.start()
        assert caller.flush() == caller.unsent == 0
    assert ledger(away_desk, budget) == (USD, 0)


def test_what_was_kept_goes_along_with_the_next_settlement(away_desk, away_key):
    budget = make_budget(away_desk, away_key, Decimal(1), "kept")
    with asking(away_desk, away_key) as caller:
        held = [patiently(lambda: caller.reserve(feature="kept", **CALL).reservation_id) for _ in range(3)]
        with frozen(away_desk):
            kept = [caller._close_or_keep("settle", {"reservation_id": one, "cost_usd": USD}) for one in held[:2]]
        assert (kept, caller.unsent) == ([None, None], 2)
        patiently(lambda: caller._close_or_keep("settle", {"reservation_id": held[2], "cost_usd": USD}))
        patiently(lambda: caller.flush() == 0)
    assert ledger(away_desk, budget) == (3 * USD, 0)


def test_a_web_process_killed_under_a_connection_is_asked_again_and_reserves_once(away_desk, away_key):
    budget = make_budget(away_desk, away_key, Decimal(1), "killed")
    with asking(away_desk, away_key, timeout=PATIENT, fail="closed") as caller:
        for number in range(1, 6):
            for pid in web_processes(away_desk):
                os.kill(pid, signal.SIGKILL)
            assert caller.reserve(feature="killed", **CALL).guarded
            assert ledger(away_desk, budget) == (0, number * CALL_USD)


def test_a_denial_is_no_failure_of_the_desk(away_desk, away_key):
    make_budget(away_desk, away_key, CALL_USD / 2, "spent")
    caller = asking(away_desk, away_key, fail="open", timeout=PATIENT)
    with caller, pytest.raises(Denied), caller.guard(feature="spent", **CALL):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("wrong", [{"fail": "maybe"}, {"timeout": 0}, {"patience": -1}], ids=str)
def test_a_wrong_setting_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match=r"fail|timeout"):
        Desk("http://localhost", "aod_some_key", **wrong)


def test_an_empty_key_is_refused_at_once():
    with pytest.raises(ValueError, match="scope guard"):
        Desk("http://localhost", "")


def patiently(attempt):
    """Its result once it is true; a half-second time-out may be too short for a machine that just woke up."""
    until = time.monotonic() + PATIENT
    while not (result := attempt()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return result
