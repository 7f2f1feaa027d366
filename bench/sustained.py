"""Rows 3 and 4: a long burst at full speed; how soon an event is seen, and whether the roll-ups keep up."""

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bench import traffic
from bench.connection import Connection, Load, post, send_all
from bench.desk import BenchDesk
from bench.ingest import BATCH, CONNECTIONS, checked
from bench.processes import cpu_used
from bench.table import Row, percentile, rate, slope, verdict

FRESH_GOAL, DRAIN_GOAL = 10.0, 60.0
_PROBE_SECONDS, _LOOK_SECONDS = 0.5, 0.2
_PREPARED_A_SECOND, _EXPECTED_A_SECOND = 30_000, 30_000
_FEATURE = "freshness-probe"
_JSON = "Content-Type: application/json\r\n"


@dataclass
class Freshness:
    """Sends an event now and then and asks the metrics API until it counts it; every number is a client's view."""

    port: int
    key: str
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def send(self) -> None:
        """Until `stop`: one event, its acknowledgement noted."""
        with Connection(self.port) as link:
            while not self.stop.wait(_PROBE_SECONDS):
                answer = link.send(post("/api/v1/events", self._event(), self._authorization + _JSON))
                if answer.status == 202:
                    self.acknowledged.append(time.perf_counter())

    def _event(self) -> bytes:
        now = datetime.now(UTC).isoformat()
        return json.dumps(
            {"event_id": f"probe-{now}", "occurred_at": now, "feature": _FEATURE, "status": "success"}
        ).encode()

    @property
    def _authorization(self) -> str:
        return f"Authorization: Bearer {self.key}\r\n"

    def look(self) -> None:
        """Until `stop` and everything acknowledged was seen: ask for the count, note when it rose."""
        start = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:00Z")
        path = f"/api/v1/metrics?metric=events&feature={_FEATURE}&start={start}"
        with Connection(self.port) as link:
            while not self.stop.is_set() or len(self.seen) < len(self.acknowledged):
                count = self._count(link.get(path, self._authorization).body)
                self.seen += [time.perf_counter()] * (count - len(self.seen))
                time.sleep(_LOOK_SECONDS)

    @staticmethod
    def _count(body: bytes) -> int:
        rows = json.loads(body)["rows"]
        return sum(row["values"]["events"] for row in rows)

    @property
    def delays(self) -> list[float]:
        """Seconds from acknowledgement to being counted, of each event."""
        return [max(0.0, seen - known) for known, seen in zip(self.acknowledged, self.seen, strict=False)]


@dataclass
class Progress:
    """Twice a second: how many events were acknowledged and how many are in the minute roll-ups."""

    desk: BenchDesk
    load: Load
    points: list[tuple[float, int, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        with self.desk.database() as database:
            while not self.stop.wait(_PROBE_SECONDS):
                row = database.execute("SELECT coalesce(sum(events), 0)::bigint FROM usage_minute").fetchone()
                self.points.append((time.perf_counter(), self.load.accepted, row[0] if row else 0))

    def rates(self) -> tuple[float, float]:
        """Events a second taken in and rolled up, over the run without its first quarter."""
        later = self.points[len(self.points) // 4 :]
        return slope([(at, taken) for at, taken, _ in later]), slope([(at, rolled) for at, _, rolled in later])


def measure_sustained(desk: BenchDesk, keys: list[str], events: int) -> list[Row]:
    """One long burst with live timestamps over all connections, probes beside it, then the drain."""
    desk.wait_drained()
    made = list(traffic.events(events, _live(events), "bench-sustained"))
    requests = traffic.batch_requests(made, keys, size=BATCH, name="sustained")
    load, fresh = Load(), Freshness(desk.port, keys[0])
    progress = Progress(desk, load)
    threads = [threading.Thread(target=work) for work in (fresh.send, fresh.look, progress.watch)]
    for thread in threads:
        thread.start()
    with cpu_used(desk) as used:
        checked(send_all(desk.port, requests, CONNECTIONS, load), len(made))
        progress.stop.set()
        fresh.stop.set()
        drained = desk.wait_drained(tiers=1)
        desk.wait_drained()
    for thread in threads:
        thread.join()
    return [_fresh_row(fresh, load), _rollup_row(progress, load, drained, used["workers"] * 1e6 / load.accepted)]


def _live(events: int) -> traffic.Span:
    """Times that are "now" while the burst runs: it begins when the events are prepared."""
    begin = datetime.now(UTC) + timedelta(seconds=events / _PREPARED_A_SECOND)
    return traffic.Span(begin, begin + timedelta(seconds=max(events / _EXPECTED_A_SECOND, 5)))


def _fresh_row(fresh: Freshness, load: Load) -> Row:
    p50, p99 = percentile(fresh.delays, 0.5), percentile(fresh.delays, 0.99)
    return Row(
        "freshness",
        f"Event acknowledged → counted by `GET /api/v1/metrics`, ingest at {rate(load.accepted / load.seconds)}",
        "clock",
        f"p50 {p50:.1f} s, p99 {p99:.1f} s, longest {max(fresh.delays, default=0):.1f} s",
        "–",
        f"p99 ≤ {FRESH_GOAL:.0f} s",
        verdict(p99 <= FRESH_GOAL),
        [
            f"{len(fresh.delays)} probe events during {load.seconds:.0f} s;"
            " every chart and sum reads through the same query."
        ],
    )


def _rollup_row(progress: Progress, load: Load, drained: float, cpu: float) -> Row:
    taken, rolled = progress.rates()
    return Row(
        "rollups",
        f"Roll-up throughput during that burst, {load.accepted:,} events",
        f"ingest in the same seconds: {rate(taken)}",
        f"{rate(rolled)}; drained {drained:.1f} s after the last event",
        f"{rolled / taken:.2f}",
        "≥ 1 (never falls behind), drained ≤ 60 s",
        verdict(rolled / taken >= 0.97, drained <= DRAIN_GOAL),
        [
            f"Worker processes: {cpu:.1f} CPU seconds per million events for minutes, hours and days together."
            " A ratio from 0.97 counts as 1: the roll-ups move in steps of two seconds, the slopes are fitted."
        ],
    )
