"""`python -m bench.triage_beside POSTGRES_PID ROUNDS`: break something, declare it, measure its triage; JSON.

In the last forty minutes a provider times out for one team of those that bench.fill filled. Runs beside the desk.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import django

django.setup()

from accounts.actions import Author  # noqa: E402 - needs the settings
from accounts.models import Team  # noqa: E402
from bench.beside import Stopwatch  # noqa: E402
from incidents.actions.incidents import declare_incident  # noqa: E402
from incidents.models import Incident  # noqa: E402
from incidents.triage import assess_incident, mitigations  # noqa: E402
from usage.actions import record_events  # noqa: E402
from usage.rollups import drain  # noqa: E402

FAILING, SINCE = 1_200, timedelta(minutes=40)
LONGEST = timedelta(days=7)
CALL = {
    "provider": "openai", "model": "gpt-4o", "operation": "chat", "feature": "answers", "environment": "prod",
    "status": "error", "error_type": "timeout", "latency_ms": 30_000, "parent_span_id": "request",
}  # fmt: skip


def break_something(team: Team, now: datetime) -> None:
    """Calls of one provider that all time out, at an even pace."""
    step = SINCE / FAILING
    events = [
        CALL | {"event_id": f"outage-{n}", "span_id": f"s{n}", "occurred_at": (now - SINCE + step * n).isoformat()}
        for n in range(FAILING)
    ]
    outcome = record_events(team=team, environment="", api_key_id=None, events=events)
    if outcome.accepted != FAILING:
        raise RuntimeError(f"{outcome.accepted} of {FAILING} events accepted: {outcome.rejected[:1]}")
    drain()


def declare(team: Team | None, since: timedelta, now: datetime) -> Incident:
    facts: dict[str, Any] = {"title": "Calls time out", "severity": 2, "at": now, "impact_started_at": now - since}
    return declare_incident(author=Author(label="bench"), team=team, **facts)


def main(watch: Stopwatch) -> dict[str, Any]:
    """`incidents`: their numbers, by what they are about; `rows`: what was measured; `first`: what came first."""
    now = datetime.now(UTC)
    team, teams = Team.objects.get(slug="bench-0"), tuple(Team.objects.values_list("pk", flat=True))
    break_something(team, now)
    asked = {
        "One team, 40 minutes": (declare(team, SINCE, now), (team.pk,)),
        "All teams, 40 minutes": (declare(None, SINCE, now), teams),
        "All teams, a week": (declare(None, LONGEST, now), teams),
    }
    rows = [
        watch.measured(name, partial(triaged, *found, now), what="assess and mitigations")
        for name, found in asked.items()
    ]
    first = assess_incident(*asked["One team, 40 minutes"], now).first.mode
    return {"rows": rows, "incidents": {name: found[0].pk for name, found in asked.items()}, "first": first.label}


def triaged(incident: Incident, team_ids: tuple[int, ...], now: datetime) -> None:
    mitigations(assess_incident(incident, team_ids, now), scope=incident.scope)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Stopwatch(int(sys.argv[1]), int(sys.argv[2])))))
