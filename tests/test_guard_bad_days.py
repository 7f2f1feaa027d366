"""Bad days of the guard, on a whole desk: many callers over four web processes, kill -9, no workers, crossing locks.

GUARD_HAMMER_SECONDS=60 hammers a minute instead of five seconds.
"""

import http.client
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import cycle

import pytest

from aiops_site.desk.supervisor import wait_for
from tests.guard import CALL, CALL_USD
from tests.running_desk import RunningDesk, new_desk
from tests.test_launcher import database

HAMMERED_SECONDS = float(os.environ.get("GUARD_HAMMER_SECONDS", "5"))


@pytest.fixture(scope="module")
def guarded():
    with new_desk(WEB_CONCURRENCY="4", WEB_THREADS="8") as running:
        yield running


@pytest.fixture
def key(guarded, request) -> str:
    slug = request.node.name.replace("_", "-")[-40:].strip("-").split("[")[0]
    return guarded.manage("apikey", "create", "--team", slug, "--create-team", "--scopes", "guard,ingest").strip()


class Caller:
    """One connection of one thread, kept open."""

    def __init__(self, desk: RunningDesk, key: str) -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=30)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.link.close()

    def ask(self, operation: str, **body) -> dict:
        self.link.request("POST", f"/api/v1/guard/{operation}", json.dumps(body), self.headers)
        answered = self.link.getresponse()
        told = json.loads(answered.read())
        assert answered.status == 200, told
        return told


def execute(desk: RunningDesk, sql: str, values: tuple = ()) -> list[tuple]:
    with database(desk) as link:
        done = link.execute(sql, values)
        return done.fetchall() if done.description else []


def make_budget(desk: RunningDesk, key: str, limit: Decimal, feature: str = "", unit: str = "usd") -> int:
    """A hard monthly budget of the key's team, written as another program would: the guard must notice by itself."""
    [(pk,)] = execute(
        desk,
        "INSERT INTO budgets_budget (team_id, feature, tenant, environment, user_hash, provider, model, cost_center,"
        ' name, period, time_zone, anchor, unit, "limit", enforcement, on_failure, rollover_share, approval_share,'
        " note, is_active, version, created_at, updated_at)"
        " SELECT team_id, %s, '', '', '', '', '', '', 'bad day ' || %s, 'month', 'UTC', 1, %s, %s, 'hard', 'open', 0,"
        " 0.2, '', true, 1, now(), now() FROM accounts_apikey WHERE prefix = %s RETURNING id",
        (feature, feature, unit, limit, key.split("_")[1]),
    )
    return pk


def ledger(desk: RunningDesk, budget: int) -> tuple[Decimal, Decimal]:
    return execute(desk, "SELECT settled, reserved FROM budgets_budgetperiod WHERE budget_id = %s", (budget,))[0]


def all_at_once(desk: RunningDesk, key: str, callers: int, calls: int, **body) -> list[dict]:
    """`calls` reservations each from `callers` threads that start together."""
    together = threading.Barrier(callers)

    def one(_number: int) -> list[dict]:
        with Caller(desk, key) as caller:
            together.wait()
            return [caller.ask("reserve", **CALL | body) for _ in range(calls)]

    with ThreadPoolExecutor(callers) as pool:
        return [told for some in pool.map(one, range(callers)) for told in some]


def test_of_200_at_once_exactly_those_are_allowed_that_the_budget_has_room_for(guarded, key):
    budget = make_budget(guarded, key, 20 * CALL_USD)
    answers = all_at_once(guarded, key, 50, 4)
    assert [told["decision"] for told in answers].count("allow") == 20
    assert {told["decision"] for told in answers} == {"allow", "deny"}
    assert ledger(guarded, budget) == (0, 20 * CALL_USD)


def test_callers_without_max_output_tokens_are_not_starved(guarded, key):
    """Their estimate is the default of 1,000 output tokens: 0.0125 USD a call."""
    make_budget(guarded, key, 20 * Decimal("0.0125"))
    answers = all_at_once(guarded, key, 20, 2, max_output_tokens=None)
    assert [told["decision"] for told in answers].count("allow") == 20


def test_a_rate_limit_is_exact_under_concurrency(guarded, key):
    execute(
        guarded,
        "INSERT INTO budgets_ratelimit (team_id, feature, tenant, environment, user_hash, provider, model, cost_center,"
        " name, requests_per_minute, concurrency, note, is_active, created_at)"
        " SELECT team_id, '', '', '', '', '', '', '', 'thirty', 30, NULL, '', true, now() FROM accounts_apikey"
        " WHERE prefix = %s",
        (key.split("_")[1],),
    )
    granted, slowest = moments_of_grants(guarded, key, 40, 3)
    assert len(granted) >= 30
    # However long the calls took: no minute has a thirty-first.
    apart = [later - first for first, later in zip(granted, granted[30:], strict=False)]
    assert [seconds for seconds in apart if seconds < 59 - slowest] == []


def moments_of_grants(desk: RunningDesk, key: str, callers: int, calls: int) -> tuple[list[float], float]:
    """When each of those allowed had its answer, in order, and the seconds the slowest answer of all took."""

    def one(_number: int) -> list[tuple[bool, float, float]]:
        found = []
        with Caller(desk, key) as caller:
            for _ in range(calls):
                asked = time.time()
                allowed = caller.ask("reserve", **CALL)["decision"] == "allow"
                found.append((allowed, time.time(), time.time() - asked))
        return found

    with ThreadPoolExecutor(callers) as pool:
        answers = [answer for some in pool.map(one, range(callers)) for answer in some]
    return sorted(at for allowed, at, _ in answers if allowed), max(took for *_, took in answers)


def web_processes(desk: RunningDesk) -> list[int]:
    """The gunicorn workers, not their master, which the supervisor would start anew."""
    master = desk.pids()["web"]
    with open(f"/proc/{master}/task/{master}/children") as children:
        return [int(pid) for pid in children.read().split()]


def states_of(desk: RunningDesk, budget: int) -> dict[str, int]:
    """How many holds of the budget are in which state."""
    return dict(
        execute(
            desk,
            "SELECT h.state, count(*) FROM budgets_hold h JOIN budgets_budgetperiod p ON p.id = ANY (h.period_ids)"
            " WHERE p.budget_id = %s GROUP BY 1",
            (budget,),
        )
    )


def test_killing_web_processes_between_reserve_and_settle_leaks_nothing(guarded, key):
    """1,000 holds while workers are killed: each is settled, or expires; none is left over."""
    budget = make_budget(guarded, key, Decimal(100))
    settled: list[str] = []
    stop = threading.Event()

    def calls(number: int) -> None:
        for _ in range(125):
            try:
                with Caller(guarded, key) as caller:
                    told = caller.ask("reserve", ttl_seconds=15, **CALL)
                    if number % 2:
                        caller.ask("settle", reservation_id=told["reservation_id"], cost_usd="0.001")
                        settled.append(told["reservation_id"])
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    def killer() -> None:
        while not stop.wait(0.4):
            for pid in web_processes(guarded)[:1]:
                os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=killer)
    killing.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(calls, range(8)))
    stop.set()
    killing.join()
    wait_for(lambda: ledger(guarded, budget)[1] == 0, 40)
    states = states_of(guarded, budget)
    assert set(states) == {"settled", "expired"}
    assert states["settled"] >= len(settled) > 100
    assert ledger(guarded, budget) == (states["settled"] * Decimal("0.001"), 0)


def test_budgets_that_overlap_in_any_order_never_deadlock(guarded, key):
    """Three budgets over calls of two features, reserved, settled, swept, edited at once: nobody waits in a circle."""
    budgets = [make_budget(guarded, key, Decimal(1000), feature) for feature in ("", "a", "b")]
    until = time.monotonic() + HAMMERED_SECONDS
    before = execute(guarded, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")

    def hammer(number: int) -> int:
        done = 0
        with Caller(guarded, key) as caller:
            while time.monotonic() < until:
                asked = [{"op": "reserve", "feature": "ab"[(number + step) % 2], "ttl_seconds": 1 + step % 3, **CALL}
                         for step in range(4)]  # fmt: skip
                held = [told["reservation_id"] for told in caller.ask("batch", requests=asked)["results"]]
                closing = [{"op": "settle", "reservation_id": one, "cost_usd": "0.001"} for one in held[::-2]]
                closing += [{"op": "release", "reservation_id": held[2]}]
                assert {told["status"] for told in caller.ask("batch", requests=closing)["results"]} == {200}
                done += 1
        return done

    def edit() -> None:
        """What the first budget counts, in words that name the same calls."""
        for model in cycle((CALL["model"], "")):
            if time.monotonic() > until:
                break
            execute(guarded, "UPDATE budgets_budget SET model = %s WHERE id = %s", (model, budgets[0]))
            time.sleep(0.5)

    with ThreadPoolExecutor(9) as pool:
        editing = pool.submit(edit)
        assert sum(pool.map(hammer, range(8))) > 0
        editing.result()
    after = execute(guarded, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert after == before
    nothing_held = "SELECT count(*) FROM budgets_budgetperiod WHERE budget_id = ANY (%s) AND reserved = 0"
    wait_for(lambda: execute(guarded, nothing_held, (budgets,)) == [(3,)], 30)
    used = [ledger(guarded, budget)[0] for budget in budgets]
    assert used[0] == used[1] + used[2] > 0


def test_limits_hold_while_the_workers_are_down(guarded, key):
    for name in ("worker-realtime", "beat"):
        guarded.kill(name, signal.SIGSTOP)
    try:
        budget = make_budget(guarded, key, 20 * CALL_USD)
        answers = all_at_once(guarded, key, 10, 4, ttl_seconds=2)
        assert [told["decision"] for told in answers].count("allow") == 20
        execute(guarded, "UPDATE budgets_budgetperiod SET metered_at = now() - interval '1 hour' WHERE budget_id = %s",
                (budget,))  # fmt: skip
        time.sleep(2.1)
        answers = all_at_once(guarded, key, 10, 4, ttl_seconds=2)
        assert [told["decision"] for told in answers].count("allow") == 20
        assert all(told["desk"]["degraded"] for told in answers)
    finally:
        for name in ("worker-realtime", "beat"):
            guarded.kill(name, signal.SIGCONT)


def test_with_the_database_away_callers_are_told_at_once_what_to_do(guarded, key):
    make_budget(guarded, key, Decimal(1))
    with Caller(guarded, key) as caller:
        caller.ask("reserve", **CALL)
        postgres = guarded.pids()["postgres"]
        supervisor = guarded.process.pid
        os.kill(supervisor, signal.SIGSTOP)  # or it would start the database again at once
        try:
            os.kill(postgres, signal.SIGKILL)
            time.sleep(0.5)
            began = time.monotonic()
            caller.link.request("POST", "/api/v1/guard/reserve", json.dumps(CALL), caller.headers)
            answered = caller.link.getresponse()
            told = json.loads(answered.read())
            took = time.monotonic() - began
        finally:
            os.kill(supervisor, signal.SIGCONT)
    assert (answered.status, answered.getheader("Retry-After")) == (503, "1")
    assert told["error"]["code"] == "desk_unavailable"
    assert told["fallback"]["decision"] in ("allow", None)
    assert took < 2
    guarded.wait_ready()


def test_a_budget_that_is_locked_for_long_holds_up_nobody_else(guarded, key):
    """Somebody's transaction sits on one budget's row: its callers are told after two seconds, others at once."""
    budget = make_budget(guarded, key, Decimal(1), "locked")
    with Caller(guarded, key) as caller, database(guarded) as link:
        caller.ask("reserve", feature="locked", **CALL)
        link.autocommit = False
        link.execute("SELECT FROM budgets_budgetperiod WHERE budget_id = %s FOR UPDATE", (budget,))
        began = time.monotonic()
        caller.link.request("POST", "/api/v1/guard/reserve", json.dumps(CALL | {"feature": "locked"}), caller.headers)
        answered = caller.link.getresponse()
        told = json.loads(answered.read())
        assert (answered.status, told["fallback"]["decision"]) == (503, "allow")
        assert 1.5 < time.monotonic() - began < 6
        assert caller.ask("reserve", feature="free", **CALL)["decision"] == "allow"
        link.rollback()
        assert caller.ask("reserve", feature="locked", **CALL)["decision"] == "allow"
