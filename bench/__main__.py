"""`python -m bench --size N`: start a desk, measure every row, write docs/benchmarks.md."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import sections, traffic
from bench.desk import ROOT, BenchDesk, DeskFailed, running_desk
from bench.filling import fill, make_keys, say
from bench.guard import measure_guard
from bench.ingest import measure_batches, measure_singles
from bench.pages import page_rows, visit_pages
from bench.postgres import settings_in_force
from bench.report import machine, render
from bench.storing import measure_memory, storage_row
from bench.sustained import measure_sustained
from bench.table import Row

SMALLEST, LARGEST, DEFAULT = 100_000, 10_000_000, 300_000
PARTS = ("pages", "batches", "singles", "guard", "sustained", "memory")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--size", type=int, default=DEFAULT, help=f"events stored, {SMALLEST:,} to {LARGEST:,}")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each comparison")
    parser.add_argument("--visits", type=int, default=30, help="visits of each page")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part (repeatable)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="where the table goes")
    chosen = parser.parse_args()
    if not SMALLEST <= chosen.size <= LARGEST:
        parser.error(f"--size must be from {SMALLEST} to {LARGEST}")
    return chosen


def measure_pages(desk: BenchDesk, size: int, visits: int) -> list[Row]:
    """The desk filled to `size` beside a second one with the smallest size; storage is measured by the way."""
    with running_desk() as small_desk:
        make_keys(small_desk)
        small, _ = fill(small_desk, SMALLEST, "bench-few")
        stored, raw = fill(desk, size, "bench-many")
        few, many = visit_pages([small_desk, desk], visits)
    return [*page_rows(few, many, small, stored), storage_row(desk, raw, stored)]


def measure(desk: BenchDesk, chosen: argparse.Namespace) -> list[Row]:
    """Rows of every part asked for."""
    keys, size = make_keys(desk), chosen.size
    parts = {
        "pages": lambda: measure_pages(desk, size, chosen.visits),
        "batches": lambda: measure_batches(desk, keys, min(size // 2, 150_000), chosen.rounds),
        "singles": lambda: measure_singles(desk, keys, min(size // 50, 6_000), chosen.rounds),
        "guard": lambda: measure_guard(desk, 4_000, chosen.rounds),
        "sustained": lambda: measure_sustained(desk, keys, min(size, 900_000)),
        "memory": lambda: measure_memory(desk, keys, 12),
    }
    rows: list[Row] = []
    for name in chosen.only or PARTS:
        say(f"measuring: {name}")
        rows += show(parts[name]())
    return rows


def show(rows: list[Row]) -> list[Row]:
    for row in rows:
        say(f"{row.what} | {row.reference} | {row.ours} | {row.ratio} | {row.verdict}")
        for note in row.notes:
            say(f"    {note}")
    return rows


def stop(signum: int, _frame: FrameType | None) -> NoReturn:
    """End by an exception, so that the desks are stopped and their directories removed."""
    sys.exit(128 + signum)


def main() -> int:
    """0 when everything was measured, whatever the figures; 1 with a message when it could not be."""
    chosen, before = arguments(), os.getloadavg()
    for signum in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is started ignoring it
        signal.signal(signum, stop)
    try:
        with running_desk() as desk:
            facts = [*machine(settings_in_force(desk), before), f"- Events: {traffic.source()}"]
            rows = measure(desk, chosen)
    except DeskFailed as problem:
        say(str(problem))
        return 1
    text = render(rows, facts, f"python -m bench {' '.join(sys.argv[1:])}".strip())
    chosen.out.write_text(sections.kept(chosen.out, text))
    say(f"written: {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
