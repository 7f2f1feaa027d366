"""Rows 6 and 7: memory of a web process under the largest batches, and bytes on disk."""

from bench import traffic
from bench.connection import send_all
from bench.desk import BenchDesk
from bench.ingest import CONNECTIONS, checked
from bench.postgres import bytes_of
from bench.processes import MemoryWatch, web_memory
from bench.table import Row, megabytes, verdict

LARGE_BATCH, MEMORY_GOAL, STORAGE_GOAL = 10_000, 2.0, 0.7
_ROLLUPS = r"^usage_(tenant_)?(minute|hour|day)(_\d+)?$"
_EVENTS = r"^usage_event_\d+$"


def measure_memory(desk: BenchDesk, keys: list[str], batches: int) -> list[Row]:
    """A fresh web server, a few small requests, then large batches over all connections."""
    made = list(traffic.events((batches + traffic.TEAMS) * LARGE_BATCH, traffic.just_now(), "bench-memory"))
    large = traffic.batch_requests(made, keys, size=LARGE_BATCH, name="memory")
    desk.restart_web()
    few = traffic.batch_requests(traffic.events(64, traffic.just_now(), "bench-idle"), keys, size=1, name="idle")
    send_all(desk.port, few, CONNECTIONS)
    idle = web_memory(desk)
    with MemoryWatch(desk) as watch:
        checked(send_all(desk.port, large, CONNECTIONS), len(made))
    ratio = watch.peak.rss / idle.rss
    return [
        Row(
            "memory",
            f"Memory (RSS) of the largest web process, {len(large)} batches of {LARGE_BATCH:,} events,"
            f" {CONNECTIONS} connections",
            f"idle, after {len(few)} single events: {megabytes(idle.rss)}",
            f"peak {megabytes(watch.peak.rss)}",
            f"{ratio:.2f}",
            f"≤ {MEMORY_GOAL:.0f}×",
            verdict(ratio <= MEMORY_GOAL),
            [
                "PSS, in which a page shared by several processes counts by its share:"
                f" idle {megabytes(idle.pss)}, peak {megabytes(watch.peak.pss)}."
            ],
        )
    ]


def storage_row(desk: BenchDesk, raw_bytes: int, events: int) -> Row:
    """`raw_bytes`: JSON of the events stored, without separators, before compression."""
    stored, rolled_up = bytes_of(desk, _EVENTS), bytes_of(desk, _ROLLUPS)
    ratio = stored / raw_bytes
    return Row(
        "storage",
        f"Bytes in PostgreSQL, indexes included, {events:,} events",
        f"raw JSON: {megabytes(raw_bytes)} ({raw_bytes / events:.0f} bytes an event)",
        f"events {megabytes(stored)} ({stored / events:.0f} bytes each), roll-ups {megabytes(rolled_up)}",
        f"{ratio:.2f} (with roll-ups {(stored + rolled_up) / raw_bytes:.2f})",
        f"≤ {STORAGE_GOAL}",
        verdict(ratio <= STORAGE_GOAL),
        [
            "Roll-ups do not grow with the events of a minute but with the combinations seen in it:"
            " a sparse history pays most."
        ],
    )
