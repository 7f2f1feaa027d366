"""manage.py reconcile: prove that raw = minute = hour = day, or say where not."""

import json
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Team
from usage.models import ReconciledDay
from usage.reconcile import TeamDay, days_between, reconcile_day
from usage.rollups import drain


class Command(BaseCommand):
    requires_system_checks = []  # which load every page of the desk; `migrate` makes them
    help = "Compare raw events and roll-ups, every series and measure. Exit status 1 where they differ."

    def add_arguments(self, parser):
        parser.add_argument("--from", dest="start", type=date.fromisoformat, help="first UTC day; default: all kept")
        parser.add_argument("--to", dest="end", type=date.fromisoformat, help="last UTC day; default: today")
        parser.add_argument("--no-drain", action="store_true", help="do not bring the roll-ups up to date first")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, **options):
        now = timezone.now()
        last = options["end"] or now.date()
        first = options["start"] or (now - timedelta(days=settings.RAW_RETENTION_DAYS + 1)).date()
        if first > last:
            raise CommandError("--from must not be after --to.")
        if not options["no_drain"]:
            drain()
        days = [
            team_day
            for day in days_between(first, last + timedelta(days=1))
            for team_day in reconcile_day(day, timezone.now())
        ]
        self._report(days, as_json=options["json"])
        if any(day.verdict == ReconciledDay.Verdict.DIFFERENT for day in days):
            raise CommandError("Roll-ups differ from the events.", returncode=1)

    def _report(self, days: list[TeamDay], *, as_json: bool) -> None:
        names = dict(Team.objects.values_list("id", "slug"))
        rows: list[dict[str, Any]] = [
            {"day": day.day.isoformat(), "team": names.get(day.team_id, str(day.team_id)), "verdict": str(day.verdict)}
            | {"tiers": day.tiers, "differing": day.differing, "differences": day.differences}
            for day in days
        ]
        events = sum(day.tiers.get("event", {}).get("events", 0) for day in days)
        if as_json:
            self.stdout.write(json.dumps({"events": events, "days": rows}))
            return
        for row in rows:
            self.stdout.write(
                f"{row['day']}  {row['team']:<20} {row['verdict']:<12}"
                + "  ".join(
                    f"{tier} {sums['events']} events ${sums['cost_usd']}" for tier, sums in row["tiers"].items()
                )
            )
            for difference in row["differences"]:
                self.stdout.write(f"    {difference}")
        self.stdout.write(f"{len(rows)} team days, {events} raw events compared.")
