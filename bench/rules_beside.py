"""`python -m bench.rules_beside ROUNDS`: fill a desk for 200 teams, evaluate rules, print what it took as JSON.

One team gets three hours of the demo's traffic and the same hours of four earlier weeks; its roll-up rows are copied
to the other teams. Runs beside the desk.
"""

import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta

import django
import psutil

django.setup()

from django.db import connection  # noqa: E402 - needs the settings

from accounts.models import Team  # noqa: E402
from bench.rules import GOAL  # noqa: E402
from incidents.actions.evaluation import evaluate  # noqa: E402
from incidents.actions.rules import EDITED  # noqa: E402
from incidents.models import AlertRule  # noqa: E402
from usage import partitions  # noqa: E402
from usage.demo import load  # noqa: E402
from usage.rollups import drain  # noqa: E402

TEAMS, VOLUME = 200, 20
HOURS, WEEK = timedelta(hours=3), timedelta(weeks=1)
COPIED = ("usage_series", "usage_minute", "usage_hour", "usage_day")
CHOSEN = (
    *("provider-error-rate", "error-rate-high", "no-success", "rate-limited", "retry-rate", "latency-p95-critical"),
    *("cost-spike", "token-spike", "empty-retrieval", "refusals-doubled"),
)


def fill(now: datetime) -> None:
    """The demo's team support and 199 copies of its figures."""
    partitions.ensure(now)
    first = Team.objects.create(slug="support", name="Support", is_demo=True)
    for weeks in range(5):
        until = now - WEEK * weeks
        load.fill(team=first, since=until - HOURS, until=until, window_end=now, volume=VOLUME)
    drain()
    others = Team.objects.bulk_create(Team(slug=f"team-{n}", name=f"Team {n}") for n in range(1, TEAMS))
    with connection.cursor() as cursor:
        for table in COPIED:
            cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
            names = ", ".join(name for (name,) in cursor.fetchall() if name != "team_id")
            cursor.execute(
                f"INSERT INTO {table} (team_id, {names}) SELECT t, {names} FROM {table}, unnest(%s::bigint[]) t"
                " WHERE team_id = %s",
                [[team.pk for team in others], first.pk],
            )
        cursor.execute("ANALYZE")


def copy_rules() -> None:
    """Ten of the shipped rules as each team's own; the others are switched off."""
    chosen = list(AlertRule.objects.filter(slug__in=CHOSEN))
    AlertRule.objects.update(is_active=False)
    same = [name for name in EDITED if name not in ("team_id", "is_active", "parent_id")]
    AlertRule.objects.bulk_create(
        AlertRule(slug=f"{rule.slug}-{team}", team_id=team, **{name: getattr(rule, name) for name in same})
        for rule in chosen
        for team in Team.objects.values_list("pk", flat=True)
    )


def measured(name: str, now: datetime, rounds: int) -> dict:
    """Medians of some evaluations."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = psutil.Process(cursor.fetchone()[0])
    cpu, wall = [], []
    for _ in range(rounds):
        before, began = cpu_seconds(backend), time.monotonic()
        done = evaluate(now)
        cpu.append(cpu_seconds(backend) - before)
        wall.append(time.monotonic() - began)
    figures = {"cpu": statistics.median(cpu), "wall": statistics.median(wall)}
    return {"name": name, "rules": done.rules, "begun": done.begun} | figures


def cpu_seconds(backend: psutil.Process) -> float:
    """Of this process and of its database connection."""
    times = backend.cpu_times()
    return time.process_time() + times.user + times.system


def main(rounds: int) -> list[dict]:
    now = datetime.now(UTC)
    fill(now)
    rows = [measured("The shipped rules, for 200 teams", now, rounds)]
    copy_rules()
    rows.append(measured(GOAL, now, rounds))
    facts = {"kind": "threshold", "metric": "requests", "threshold": 0, "clear_threshold": None, "breakdown": []}
    AlertRule.objects.filter(is_active=True).update(**facts, for_seconds=0, min_events=0, options={})
    rows.append(measured("The same, all firing at once", now, 1))
    return rows


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))))
