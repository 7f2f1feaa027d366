"""`python -m bench.rules`: one evaluation of 2,000 alert rules of 200 teams, and its section of docs/benchmarks.md.

A desk of its own, its workers standing still; `bench.rules_beside` fills it and evaluates.
"""

import argparse
import json
import sys
from datetime import UTC, datetime

from bench import sections
from bench.desk import ROOT, running_desk
from bench.report import cpu_model

GOAL, GOAL_SECONDS = "Ten rules of each of 200 teams", 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rules", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with running_desk() as desk, desk.paused_workers():
        beside = {"DJANGO_SETTINGS_MODULE": "aiops_site.settings", "DATABASE_URL": desk.database_url}
        rows = json.loads(desk.run("-m", "bench.rules_beside", str(rounds), **beside))
    text = section(rows)
    sections.put(ROOT / "docs" / "benchmarks.md", "rules", text)
    sys.stdout.write(text + "\n")


def section(rows: list[dict]) -> str:
    """The measured rows as a section: each has name, rules, begun (alerts), cpu and wall (seconds)."""
    goal = next(row for row in rows if row["name"] == GOAL)
    met = "met" if goal["cpu"] < GOAL_SECONDS else "**missed**"
    lines = [f"| {r['name']} | {r['rules']:,} | {r['begun']:,} | {r['cpu']:.2f} s | {r['wall']:.2f} s |" for r in rows]
    return "\n".join(
        [
            "## Alert rules",
            "",
            f"`python -m bench.rules`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu_model()}. One evaluation, with",
            "three hours of the demo's traffic at twenty times its volume and the same hours of four weeks before, for",
            "each of 200 teams; ratios to earlier weeks and percentiles are among the rules. CPU is that of the",
            f"process and of its database connection. Goal: 2,000 rules in under {GOAL_SECONDS} s on one core: {met}.",
            "",
            "| evaluation | rules | alerts begun | CPU | clock |",
            "|---|---:|---:|---:|---:|",
            *lines,
        ]
    )


if __name__ == "__main__":
    main()
