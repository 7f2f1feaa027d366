"""`python -m bench.triage --size N`: the triage of an incident over N events, and its section of docs/benchmarks.md.

A desk of its own, filled as for the other pages; `bench.triage_beside` breaks something in it. Then the incident's
panels are visited as a browser gets them.
"""

import argparse
import json
import os
import statistics
import sys
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from bench import sections
from bench.desk import ROOT, BenchDesk, running_desk
from bench.filling import fill, make_keys, say
from bench.pages import Visitor, signed_in
from bench.processes import cpu_used
from bench.report import cpu_model

GOAL_SECONDS = 1.0
PANELS = ("triage", "mitigations")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.triage", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000_000, help="events stored")
    parser.add_argument("--rounds", type=int, default=7, help="assessments and visits of each kind")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    with running_desk() as desk:
        make_keys(desk)
        stored, _ = fill(desk, chosen.size, "bench-many")
        with desk.paused_workers():
            rows, first = measured(desk, chosen.rounds)
    text = section(rows, first, stored, " ".join(sys.argv[1:]), load)
    sections.put(ROOT / "docs" / "benchmarks.md", "triage", text)
    say(text)


def measured(desk: BenchDesk, rounds: int) -> tuple[list[dict[str, Any]], str]:
    """Rows (name, what, cpu and clock seconds), and the failure mode that came first."""
    beside = {"DJANGO_SETTINGS_MODULE": "aiops_site.settings", "DATABASE_URL": desk.database_url}
    found = json.loads(desk.run("-m", "bench.triage_beside", str(desk.pids()["postgres"]), str(rounds), **beside))
    visitor = signed_in(desk)
    panels = [
        visits(desk, visitor, name, f"/incidents/{number}/{panel}/", rounds)
        for name, number in found["incidents"].items()
        for panel in PANELS
    ]
    return [*found["rows"], *panels], found["first"]


def visits(desk: BenchDesk, visitor: Visitor, name: str, address: str, rounds: int) -> dict[str, Any]:
    """Medians of some visits; the first is not counted."""
    visitor.get(address)
    cpu, clock = [], []
    for _ in range(rounds):
        with cpu_used(desk) as used:
            began = perf_counter()
            answer = visitor.get(address)
            clock.append(perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{address}: {answer.status}")
        cpu.append(used["web"] + used["Postgres"])
    what = f"page `/incidents/…/{address.rsplit('/', 2)[1]}/`"
    return {"name": name, "what": what, "cpu": statistics.median(cpu), "clock": statistics.median(clock)}


def section(rows: list[dict], first: str, stored: int, options: str, load: float) -> str:
    met = "met" if all(row["cpu"] < GOAL_SECONDS for row in rows) else "**missed**"
    lines = [f"| {r['name']} | {r['what']} | {r['cpu'] * 1e3:.0f} ms | {r['clock'] * 1e3:.0f} ms |" for r in rows]
    return "\n".join(
        [
            "## Triage",
            "",
            f"`{' '.join(('python -m bench.triage', options)).strip()}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC,",
            f"{cpu_model()}, load average before the run {load:.1f}. {stored:,} events of four teams over 30 days;",
            f"in the last 40 minutes a provider times out for one of them. Ranked first: {first.lower()}.",
            "CPU is that of the process (of the web server, where it is a page) and of all of PostgreSQL, which is",
            f"what the clock shows on a core to itself. Goal: under {GOAL_SECONDS:.0f} s: {met}.",
            "",
            "| incident | what | CPU | clock |",
            "|---|---|---:|---:|",
            *lines,
        ]
    )


if __name__ == "__main__":
    main()
