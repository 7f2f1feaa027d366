"""`manage.py demo create|status|remove|live`: the made-up month that a new desk opens with."""

import contextlib
import math
import os
import time

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.demo import create_demo_teams
from budgets.demo import create_demo_budgets
from budgets.guard.demo import create_demo_reservations
from incidents.demo import create_demo_slos
from incidents.demo_canaries import create_demo_canaries
from incidents.demo_incidents import create_demo_incidents
from incidents.demo_oncall import create_demo_oncall
from incidents.demo_postmortems import create_demo_postmortems
from incidents.demo_runbooks import follow_demo_runbook
from incidents.demo_telling import create_demo_telling
from usage.demo import load
from usage.demo.stories import STORIES


class Command(BaseCommand):
    """One subcommand each; `create` and `remove` can be repeated."""

    requires_system_checks = []  # which load every page of the desk; `migrate` makes them
    help = "Make, describe or remove the demo data, or keep it going."

    def add_arguments(self, parser):
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make the demo, or bring an existing one up to now")
        create.add_argument("--volume", type=float, default=1.0, help="1 is about 190,000 events in thirty days")
        create.add_argument("--processes", type=int, default=2, help="how many share the work")
        create.add_argument("--if-present", action="store_true", help="do nothing where there is no demo (any more)")
        actions.add_parser("status", help="what is stored, and when the planted stories happened")
        remove = actions.add_parser("remove", help="remove the demo teams and everything of theirs")
        remove.add_argument("--yes", action="store_true", help="do not ask")
        live = actions.add_parser("live", help="keep making events as time passes, until stopped")
        live.add_argument("--every", type=float, default=5.0, metavar="SECONDS")
        live.add_argument("--for", dest="length", type=float, metavar="SECONDS", help="stop after this long")

    def handle(self, *, action, **options):
        getattr(self, f"_{action}")(**options)

    def _create(self, *, volume, processes, if_present, **_):
        if volume <= 0:
            raise CommandError("--volume must be above 0.")
        if processes < 1:
            raise CommandError("--processes must be at least 1.")
        if if_present and load.window_end() is None:
            return
        began = time.monotonic()
        made = load.create(now=timezone.now(), volume=volume, processes=processes)
        create_demo_budgets(timezone.now())
        create_demo_reservations(timezone.now())
        create_demo_slos()
        create_demo_canaries(made.window_end, os.environ.get("PORT", "8000"))
        create_demo_oncall(timezone.now())
        create_demo_incidents(made.window_end)
        create_demo_telling()
        follow_demo_runbook()
        create_demo_postmortems(timezone.now())
        self.stdout.write(
            f"Demo data: {made.added:,} events in {time.monotonic() - began:.1f} s; all of it is made up."
        )
        self._stories(made.window_end)
        for email, password, role in made.logins:
            self.stdout.write(f"  {email}  {password}  ({role})")

    def _stories(self, window_end) -> None:
        for story in STORIES:
            start, end = story.span(window_end)
            self.stdout.write(f"  {start:%Y-%m-%d %H:%M} to {end:%m-%d %H:%M} UTC  {story.title}")

    def _status(self, **_):
        status = load.status()
        if status.window_end is None:
            self.stdout.write("No demo data. Make it with: manage.py demo create")
            return
        for slug, events, first, last in status.teams:
            span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC" if events else "none"
            self.stdout.write(f"{slug:10} {events:>10,} events  {span}")
        self.stdout.write(f"{status.changes} change markers. Planted stories:")
        self._stories(status.window_end)

    def _remove(self, *, yes, **_):
        if not load.status().teams:
            self.stdout.write("No demo data.")
            return
        if not yes and input("Remove the demo teams, their events, keys and people? [y/N] ").strip().lower() != "y":
            raise CommandError("Nothing was removed.")
        self.stdout.write(f"Removed the demo: {load.remove(label='manage.py demo remove'):,} events.")

    def _live(self, *, every, length, **_):
        window_end = load.window_end()
        if window_end is None:
            raise CommandError("No demo data to go on from. Make it with: manage.py demo create")
        stop = time.monotonic() + length if length else math.inf
        since = {team: load.missing_since(team, timezone.now()) for team in create_demo_teams()}
        with contextlib.suppress(load.DemoGone):
            while True:  # at least once, however short it may run
                for team in since:
                    until = timezone.now()
                    load.fill(team=team, since=since[team], until=until, window_end=window_end)
                    since[team] = until
                time.sleep(every)
                if time.monotonic() >= stop or load.window_end() is None:
                    return
