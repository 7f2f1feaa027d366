"""Rows 1 and 2: batches and single events over HTTP, each beside what PostgreSQL alone does with the same rows."""

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from psycopg import Connection as Database

from bench import traffic
from bench.connection import Load, send_all
from bench.desk import BenchDesk, DeskFailed
from bench.postgres import EVENT_COLUMNS, pgbench_rate
from bench.processes import OTHERS, cpu_used
from bench.table import Rounds, Row, ms, percentile, rate, shares, verdict

BATCH, CONNECTIONS, SINGLE_CONNECTIONS = 1_000, 4, 8
INGEST_GOAL, SINGLE_GOAL, LATENCY_GOAL = 0.6, 0.15, 0.1
# The reference's rows are those of the round before under teams of their own, so that every key is new.
_OTHER_TEAMS = 1_000_000


@dataclass
class _Series:
    """What the rounds of one arrangement gave."""

    rates: Rounds = field(default_factory=Rounds)
    latencies: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    events: int = 0

    def add(self, load: Load, used: dict[str, float]) -> None:
        self.rates.add(load.accepted / load.seconds)
        self.latencies += load.latencies
        self.seconds += load.seconds
        self.events += load.accepted
        self.cpu = {name: self.cpu.get(name, 0.0) + used[name] for name in used}

    @property
    def costs(self) -> dict[str, float]:
        """CPU seconds per million events by part of ours."""
        millions = self.events / 1e6
        return {name: used / millions for name, used in self.cpu.items() if name != OTHERS}

    @property
    def cost_list(self) -> str:
        return ", ".join(f"{name} {cost:.1f}" for name, cost in self.costs.items())

    @property
    def cost_note(self) -> str:
        ceiling = (os.cpu_count() or 1) * 1e6 / sum(self.costs.values())
        return f"CPU seconds per million events: {self.cost_list}; all cores to itself: at most {rate(ceiling)}."


def checked(load: Load, expected: int) -> Load:
    """The load, if every event was accepted. Raises DeskFailed otherwise: a rate of refusals means nothing."""
    if load.failures or load.accepted != expected:
        first = load.failures[0] if load.failures else None
        raise DeskFailed(f"{load.accepted} of {expected} events accepted, {len(load.failures)} failures: {first}")
    return load


def measure_batches(desk: BenchDesk, keys: list[str], events: int, rounds: int) -> list[Row]:
    """Alternating rounds: ours with the workers standing, COPY, ours with roll-ups running."""
    alone, beside, copied = _Series(), _Series(), _Series()
    with desk.database() as database:
        _batches(desk, keys, min(events, 10_000), "warm", _Series())
        for number in range(rounds):
            desk.wait_drained(tiers=1)
            began = datetime.now(UTC)
            with desk.paused_workers():
                _batches(desk, keys, events, f"alone-{number}", alone)
                _copy(desk, database, _stored_since(database, began), copied)
            _batches(desk, keys, events, f"beside-{number}", beside)
    return [
        _batch_row("batches", "Roll-ups standing still (the definition).", alone, copied, rounds),
        _batch_row("batches-beside", "Roll-ups running beside it.", beside, copied, rounds),
    ]


def _batches(desk: BenchDesk, keys: list[str], events: int, name: str, into: _Series) -> None:
    made = list(traffic.events(events, traffic.just_now(), f"bench-{name}"))
    requests = traffic.batch_requests(made, keys, size=BATCH, name=name)
    with cpu_used(desk) as used:
        load = checked(send_all(desk.port, requests, CONNECTIONS), len(made))
    into.add(load, used)


def _stored_since(database: Database, began: datetime) -> list[bytes]:
    """The rows of a round as COPY text in pieces of a batch each, in the order they were stored."""
    columns = ", ".join(_columns(database)).replace("team_id", f"team_id + {_OTHER_TEAMS}")
    wanted = f"SELECT {columns} FROM usage_event WHERE received_at >= '{began.isoformat()}'"
    with database.cursor().copy(f"COPY ({wanted}) TO STDOUT") as copy:
        rows = b"".join(map(bytes, copy)).splitlines(keepends=True)
    return [b"".join(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]


def _columns(database: Database) -> list[str]:
    """The columns of the event table, in order."""
    return [name for (name,) in database.execute(EVENT_COLUMNS)]


def _copy(desk: BenchDesk, database: Database, pieces: list[bytes], into: _Series) -> None:
    """COPY into the table itself, a transaction for each piece."""
    load = Load(accepted=sum(piece.count(b"\n") for piece in pieces))
    with cpu_used(desk) as used:
        began = time.perf_counter()
        for piece in pieces:
            with database.cursor().copy("COPY usage_event FROM STDIN") as copy:
                copy.write(piece)
        load.seconds = time.perf_counter() - began
    into.add(load, used)


def _batch_row(key: str, how: str, ours: _Series, copied: _Series, rounds: int) -> Row:
    ratio, p99 = ours.rates.median / copied.rates.median, percentile(ours.latencies, 0.99)
    return Row(
        key,
        f"Ingest over HTTP, {BATCH:,}-event gzip batches, {CONNECTIONS} connections. {how}",
        f"`COPY`, same rows, {BATCH:,} a transaction: {copied.rates.spread(rate)}",
        f"{ours.rates.spread(rate)}; p50 {ms(percentile(ours.latencies, 0.5))}, p99 {ms(p99)}",
        f"{ratio:.2f}",
        f"≥ {INGEST_GOAL} (floor 0.4), p99 < 100 ms",
        verdict(ratio >= INGEST_GOAL, p99 < LATENCY_GOAL),
        [
            f"Cores kept busy: {shares(ours.cpu, ours.seconds)}.",
            f"{ours.cost_note} `COPY`: cores kept busy {shares(copied.cpu, copied.seconds)};"
            f" CPU seconds per million rows {copied.cost_list}. Rounds: {rounds}.",
        ],
    )


def measure_singles(desk: BenchDesk, keys: list[str], events: int, rounds: int) -> list[Row]:
    """Alternating rounds of single-event requests and of pgbench."""
    ours, inserted = _Series(), Rounds()
    for number in range(rounds):
        desk.wait_drained(tiers=1)
        with desk.paused_workers(), NamedTemporaryFile("w", suffix=".sql") as script:
            _singles(desk, keys, events, f"single-{number}", ours)
            script.write(_insert_script(desk))
            script.flush()
            inserted.add(
                pgbench_rate(desk, Path(script.name), SINGLE_CONNECTIONS, max(2.0, ours.seconds / (number + 1)))
            )
    ratio = ours.rates.median / inserted.median
    return [
        Row(
            "singles",
            f"One event a request, {SINGLE_CONNECTIONS} connections",
            f"pgbench, one row a transaction, {SINGLE_CONNECTIONS} clients: {inserted.spread(rate)}",
            f"{ours.rates.spread(rate)}; p99 {ms(percentile(ours.latencies, 0.99))}",
            f"{ratio:.2f}",
            f"≥ {SINGLE_GOAL}",
            verdict(ratio >= SINGLE_GOAL),
            [f"Cores kept busy: {shares(ours.cpu, ours.seconds)}. {ours.cost_note} Rounds: {rounds}."],
        )
    ]


def _singles(desk: BenchDesk, keys: list[str], events: int, name: str, into: _Series) -> None:
    made = list(traffic.events(events, traffic.just_now(), f"bench-{name}"))
    requests = traffic.single_requests(made, keys)
    with cpu_used(desk) as used:
        load = checked(send_all(desk.port, requests, SINGLE_CONNECTIONS), len(made))
    into.add(load, used)


def _insert_script(desk: BenchDesk) -> str:
    """A pgbench script that inserts a stored row again and again under new ids."""
    with desk.database() as database:
        columns = _columns(database)
        texts = ", ".join(f"{name}::text" for name in columns)
        stored = database.execute(f"SELECT {texts} FROM usage_event ORDER BY received_at DESC LIMIT 1").fetchall()[0]
    values = {
        name: "NULL" if value is None else "'" + value.replace("'", "''") + "'"
        for name, value in zip(columns, stored, strict=True)
    }
    values |= {
        "team_id": str(_OTHER_TEAMS),
        "occurred_at": "now()",
        "received_at": "now()",
    }
    values["event_id"] = "'pgbench-' || :a || '-' || :b"
    return (
        "\\set a random(1, 1000000000)\n\\set b random(1, 1000000000)\n"
        f"INSERT INTO usage_event VALUES ({', '.join(values[name] for name in columns)});\n"
    )
