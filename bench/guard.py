"""The guard: reservations on one hot budget beside the bare statement with pgbench; and that nothing is overspent."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile

from bench.connection import Connection, post
from bench.desk import BenchDesk, DeskFailed
from bench.postgres import pgbench_rate
from bench.processes import OTHERS, cpu_used
from bench.table import Rounds, Row, ms, percentile, rate, shares, verdict

CLIENTS, GOAL, P99_GOAL = 8, 0.65, 0.010
CALL = {
    "provider": "openai",
    "model": "gpt-4o-mini",
    "feature": "answers",
    "input_tokens": 1850,
    "max_output_tokens": 400,
}
CALL_USD = Decimal("0.0005175")  # gpt-4o-mini: 0.15 and 0.60 USD per million tokens
OVERSPEND_CALLS, OVERSPEND_ROOM = 200, 100

_BUDGET = """
INSERT INTO budgets_budget (team_id, feature, tenant, environment, user_hash, provider, model, cost_center, name,
    period, time_zone, anchor, unit, "limit", enforcement, on_failure, rollover_share, approval_share, note,
    is_active, version, created_at, updated_at)
SELECT id, '', '', '', '', '', '', '', 'hot', 'month', 'UTC', 1, 'usd', %s, 'hard', 'open', 0, 0.2, '', true, 1, now(),
    now()
FROM accounts_team WHERE slug = %s
"""
# What the web server sends for CALL, with a fresh hold each time.
_STATEMENT = """
SELECT guard_decide(false, gen_random_uuid(), false, NULL, {key}, {team}, ARRAY[{versions}]::bigint[],
    '{{answers,"","","","",gpt-4o-mini,normal}}'::text[], 300, NULL, '5 minutes'::interval,
    ARRAY[{period}]::bigint[], ARRAY[{budget}]::bigint[], ARRAY[1000000]::numeric[], ARRAY[true], ARRAY[false],
    ARRAY['usd']::text[], '{{}}'::text[], '{{}}'::bigint[], '{{}}'::bigint[], '{{}}'::bigint[],
    ARRAY['openai']::text[], ARRAY['gpt-4o-mini']::text[], ARRAY[1850]::bigint[], ARRAY[400]::bigint[],
    ARRAY[0.0002775]::numeric[], ARRAY[0.0000006]::numeric[], ARRAY['allow']::text[], ARRAY['within_limits']::text[],
    ARRAY[true]::boolean[], '{{}}'::boolean[], 100, '');
"""
_FACTS = """
SELECT k.id, k.team_id, p.id, p.budget_id, concat_ws(',',
    coalesce((SELECT version FROM budgets_guardversion WHERE id = 1), 0),
    coalesce((SELECT version FROM incidents_controlversion WHERE id = 1), 0),
    coalesce((SELECT version FROM usage_pricebook WHERE id = 1), 0))
FROM accounts_apikey k JOIN budgets_budget b ON b.team_id = k.team_id JOIN budgets_budgetperiod p ON p.budget_id = b.id
WHERE k.prefix = %s
"""


@dataclass
class Load:
    """What the clients of a round saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    allowed: int = 0
    others: list[bytes] = field(default_factory=list)


def measure_guard(desk: BenchDesk, calls: int, rounds: int) -> list[Row]:
    """Alternating rounds of reservations over HTTP and of the bare statement; then the overspend check."""
    ours, bare, bare_cpu, seconds = Rounds(), Rounds(), Rounds(), 0.0
    latencies: list[float] = []
    cpu: dict[str, float] = {}
    key = hot_budget(desk, "guard-hot", Decimal(1_000_000))
    reserve(desk, key, 500)
    with NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_script(desk, key))
        script.flush()
        for _ in range(rounds):
            with desk.paused_workers(), cpu_used(desk) as used:
                load = reserve(desk, key, calls)
            if load.others:
                raise DeskFailed(f"not allowed: {load.others[0]!r}")
            ours.add(load.allowed / load.seconds)
            latencies += load.latencies
            seconds += load.seconds
            cpu = {name: cpu.get(name, 0.0) + used[name] for name in used}
            length = max(2.0, load.seconds)
            with desk.paused_workers(), cpu_used(desk) as used:
                bare.add(pgbench_rate(desk, Path(script.name), CLIENTS, length))
            bare_cpu.add(used["Postgres"] / (bare.values[-1] * length) * 1e3)
    row = _row(ours, bare, latencies, cpu, seconds, calls * rounds)
    row.notes.append(f"The bare statement: PostgreSQL {bare_cpu.median:.2f}.")
    return [row, overspend_row(desk)]


def hot_budget(desk: BenchDesk, team: str, limit: Decimal) -> str:
    """A key of a new team with one hard budget over everything it does."""
    key = desk.manage("apikey", "create", "--team", team, "--scopes", "guard", "--create-team")
    with desk.database() as database:
        database.execute(_BUDGET, [limit, team])
    return key


def _script(desk: BenchDesk, key: str) -> str:
    with desk.database() as database:
        found = database.execute(_FACTS, [key.split("_")[1]]).fetchone()
    if found is None:
        raise DeskFailed("the guard opened no period")
    names = ("key", "team", "period", "budget", "versions")
    return _STATEMENT.format(**dict(zip(names, found, strict=True))).replace("\n", " ") + "\n"


def reserve(desk: BenchDesk, key: str, calls: int, clients: int = CLIENTS) -> Load:
    """So many reservations over several connections."""
    request = post(
        "/api/v1/guard/reserve",
        json.dumps(CALL).encode(),
        f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n",
    )
    load = Load()

    def send(count: int) -> None:
        with Connection(desk.port) as link:
            for _ in range(count):
                began = time.perf_counter()
                answer = link.send(request)
                load.latencies.append(time.perf_counter() - began)
                if b'"decision":"allow"' in answer.body:
                    load.allowed += 1
                else:
                    load.others.append(answer.body)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(send, [calls // clients] * clients))
    load.seconds = time.perf_counter() - began
    return load


def overspend_row(desk: BenchDesk) -> Row:
    """CLIENTS × OVERSPEND_CALLS reservations on a budget with room for OVERSPEND_ROOM."""
    key = hot_budget(desk, "guard-tight", OVERSPEND_ROOM * CALL_USD)
    load = reserve(desk, key, CLIENTS * OVERSPEND_CALLS)
    with desk.database() as database:
        held, limit = database.execute(
            'SELECT p.reserved + p.settled + p.metered, b."limit" FROM budgets_budgetperiod p'
            ' JOIN budgets_budget b ON b.id = p.budget_id WHERE b."limit" = %s',
            [OVERSPEND_ROOM * CALL_USD],
        ).fetchone()  # type: ignore[misc]
    over = max(held - limit, Decimal(0))
    return Row(
        "guard-overspend",
        f"{CLIENTS} × {OVERSPEND_CALLS} reservations on a budget with room for {OVERSPEND_ROOM}",
        f"{OVERSPEND_ROOM} allowed, 0 USD overspent",
        f"{load.allowed} allowed, {over:f} USD overspent",
        f"{load.allowed / OVERSPEND_ROOM:.2f}",
        "exactly",
        verdict(load.allowed == OVERSPEND_ROOM, over == 0),
        [],
    )


def _row(ours: Rounds, bare: Rounds, latencies: list[float], cpu: dict[str, float], seconds: float, calls: int) -> Row:
    ratio, p99 = ours.median / bare.median, percentile(latencies, 0.99)
    costs = ", ".join(f"{name} {used / calls * 1e3:.2f}" for name, used in cpu.items() if name != OTHERS)
    return Row(
        "guard",
        f"Guard: reserve on one hot budget, {CLIENTS} connections, durable",
        f"pgbench, the bare statement, {CLIENTS} clients: {bare.spread(rate)}",
        f"{ours.spread(rate)}; p50 {ms(percentile(latencies, 0.5))}, p99 {ms(p99)}",
        f"{ratio:.2f}",
        f"≥ {GOAL}, p99 < 10 ms",
        verdict(ratio >= GOAL, p99 < P99_GOAL),
        [f"Cores kept busy: {shares(cpu, seconds)}. CPU milliseconds a reservation: {costs}."],
    )
