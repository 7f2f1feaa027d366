"""`python -m bench.teams_fill TEAMS EVENTS`: fill a desk with what so many teams have in sixty days; prints the counts.

The demo's four teams are made through the ingest; every other team gets a copy of one of them. With each come four
objectives and a budget; some have an open incident. Runs beside the desk.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings

from accounts.actions import Author  # noqa: E402
from accounts.demo import create_demo_teams  # noqa: E402
from accounts.models import Team  # noqa: E402
from bench import copies  # noqa: E402
from budgets.actions import create_budget  # noqa: E402
from budgets.facts import check  # noqa: E402
from budgets.guard.metering import refresh  # noqa: E402
from incidents.actions.evaluation import evaluate  # noqa: E402
from incidents.actions.incidents import declare_incident  # noqa: E402
from incidents.actions.slos import save_slo  # noqa: E402
from incidents.models import Slo  # noqa: E402
from usage import partitions  # noqa: E402
from usage.demo import load  # noqa: E402
from usage.models import UsageEvent  # noqa: E402
from usage.rollups import drain  # noqa: E402

DAYS = 60
DEMO_EVENTS = 380_000  # what the demo's four teams make in so many days at volume 1
HURT = 20  # every so-manieth team has an open incident
BENCH = Author(label="bench")
SLOS = (
    ("answers", {"indicator": "success", "target": Decimal("0.995")}),
    ("speed", {"indicator": "latency", "target": Decimal("0.95"), "limit": Decimal(8_000)}),
    ("quality", {"indicator": "quality", "target": Decimal("0.98")}),
    ("spend", {"indicator": "spend", "target": Decimal("0.95"), "limit": Decimal(5), "per": "hour"}),
)


def fill(teams: int, events: int, now: datetime) -> dict[str, int]:
    """Counts of what is there afterwards."""
    partitions.ensure(now)
    first = create_demo_teams()
    for team in first:
        volume = events * len(first) / teams / DEMO_EVENTS
        load.fill(team=team, since=now - timedelta(days=DAYS), until=now, window_end=now, volume=volume)
    drain()
    others = copies.new_teams(teams - len(first))
    for place, source in enumerate(first):
        copies.copy(copies.EVERYTHING, source, others[place :: len(first)])
    copies.analyse()
    _give(now, list(Team.objects.order_by("pk")))
    return {"teams": Team.objects.count(), "events": UsageEvent.objects.count(), "slos": Slo.objects.count()}


def _give(now: datetime, teams: list[Team]) -> None:
    """Objectives, budgets with forecasts, incidents and the alerts of one evaluation."""
    for team in teams:
        for name, facts in SLOS:
            save_slo(author=BENCH, slo=Slo(), values=facts | {"name": f"{team.name}: {name}", "team": team})
    for slug, hard in zip(["", *(team.slug for team in teams)], cycle((True, False))):
        facts = {"name": f"Budget of {slug or 'all teams'}", "team": slug, "limit": "500"}
        create_budget(author=BENCH, draft=check(facts | {"enforcement": "hard" if hard else "soft"}, teams=teams))
    for team in teams[::HURT]:
        declare_incident(author=BENCH, team=team, title=f"{team.name} fails", severity=3, at=now - timedelta(hours=2))
    refresh(now)
    evaluate(now)
    call_command("forecast", stdout=sys.stderr)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fill(int(sys.argv[1]), int(sys.argv[2]), datetime.now(UTC))))
