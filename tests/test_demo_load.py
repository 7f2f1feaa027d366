"""The demo in the database: made once, brought up to now, kept going, removed without a trace."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import AuditEntry, Team, User
from tests.cast import make_team
from usage import rollups
from usage.actions import record_events
from usage.demo import load
from usage.demo.changes import CHANGES
from usage.models import ChangeMarker, RollupMark, UsageEvent

NOW = timezone.now()
SMALL = {"volume": 0.004}


@pytest.fixture
def demo(transactional_db):
    return load.create(now=NOW, **SMALL)


def rows_of(team: Team) -> dict[str, int]:
    """Rows of the team in every table that has a team_id; the audit log outlives teams on purpose."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'team_id'"
            " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
        )
        counts = {}
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM {table} WHERE team_id = %s", [team.pk])
            counts[table] = cursor.fetchone()[0]
    return {table: count for table, count in counts.items() if count and table != "accounts_auditentry"}


def told(*arguments: str, **options) -> str:
    out = StringIO()
    call_command("demo", *arguments, stdout=out, **options)
    return out.getvalue()


def test_it_is_stored_rolled_up_and_marked_as_demo(demo):
    assert demo.added == UsageEvent.objects.count() > 300
    assert not RollupMark.objects.exists()
    assert set(Team.objects.values_list("slug", "is_demo")) == {
        ("support", True), ("search", True), ("coding", True), ("growth", True),
    }  # fmt: skip
    assert ChangeMarker.objects.count() == len(CHANGES)
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(events) FROM usage_day")
        assert cursor.fetchone()[0] == demo.added
    assert len(demo.logins) >= 4


def test_making_it_twice_changes_nothing_and_completes_what_was_broken_off(demo):
    again = load.create(now=NOW, **SMALL)
    assert (again.added, again.window_end) == (0, demo.window_end)
    assert ChangeMarker.objects.count() == len(CHANGES)
    team = Team.objects.get(slug="search")
    lost, _ = UsageEvent.objects.filter(team_id=team.pk, occurred_at__gte=NOW - timedelta(days=9)).delete()
    assert load.create(now=NOW, **SMALL).added == lost > 0
    assert UsageEvent.objects.count() == demo.added


def test_it_is_brought_up_to_now_with_the_stories_where_they_were(transactional_db):
    first = load.create(now=NOW - timedelta(hours=20), **SMALL)
    assert not UsageEvent.objects.filter(occurred_at__gt=NOW - timedelta(hours=20)).exists()
    later = load.create(now=NOW, **SMALL)
    assert later.added > 0
    assert later.window_end == first.window_end
    assert UsageEvent.objects.filter(occurred_at__gt=NOW - timedelta(hours=20)).count() >= later.added


def test_removal_leaves_nothing_of_the_demo_and_everything_of_others(demo):
    other = make_team("other")
    event = {"event_id": "kept", "occurred_at": NOW.isoformat(), "operation": "chat"}
    record_events(team=other, environment="prod", api_key_id=None, events=[event])
    rollups.drain()
    before, teams = rows_of(other), list(Team.objects.filter(is_demo=True))
    assert rows_of(teams[0])["usage_minute"] > 0
    assert load.remove(label="a test") == demo.added
    assert not User.objects.filter(email__endswith="@demo.example").exists()
    assert not Team.objects.filter(is_demo=True).exists()
    assert [rows_of(team) for team in teams] == [{}] * 4
    assert rows_of(other) == before
    entry = AuditEntry.objects.get(action="demo.removed")
    assert (entry.actor_label, entry.after) == ("a test", {"events": demo.added})
    assert load.create(now=NOW, **SMALL).added == demo.added


def test_the_command_makes_describes_and_removes(transactional_db, monkeypatch):
    assert "No demo data" in told("status")
    made = told("create", processes=1, **SMALL)
    assert "all of it is made up" in made and "@demo.example" in made
    assert len(made.splitlines()) <= 20  # the supervisor shows as many
    status = told("status")
    assert "OpenAI fails" in status and "23 change markers" in status
    monkeypatch.setattr("builtins.input", lambda question: "")
    with pytest.raises(CommandError, match="Nothing was removed"):
        told("remove")
    assert "Removed the demo" in told("remove", yes=True)
    assert "No demo data" in told("remove")


def test_live_goes_on_from_the_last_event(demo):
    UsageEvent.objects.filter(occurred_at__gte=NOW - timedelta(minutes=40)).delete()
    call_command("demo", "live", every=0.01, length=0.05)
    assert UsageEvent.objects.filter(occurred_at__gte=NOW - timedelta(minutes=40)).count() > 100


def test_a_removed_demo_gets_no_more_events(demo):
    team = Team.objects.get(slug="support")
    load.remove(label="a test")
    with pytest.raises(load.DemoGone):
        load.fill(team=team, since=NOW - timedelta(days=1), until=NOW, window_end=demo.window_end)
    assert rows_of(team) == {}


def test_live_without_a_demo_says_what_to_do(db):
    with pytest.raises(CommandError, match="demo create"):
        call_command("demo", "live", length=0.1)
