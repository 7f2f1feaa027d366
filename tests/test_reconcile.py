"""The proof that roll-ups equal the events, and that it can fail."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tests.traffic import record
from usage import reconcile
from usage.models import ReconciledDay
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


def _verdicts(now):
    return {day.verdict for day in reconcile.reconcile_day(now.date(), now)}


def test_drained_rollups_equal_their_events(cast):
    now = timezone.now()
    record(cast.support, now - timedelta(minutes=2), 30)
    drain()
    assert _verdicts(now - timedelta(minutes=2)) == {ReconciledDay.Verdict.EQUAL}


def test_an_undrained_event_is_catching_up_not_wrong(cast):
    now = timezone.now() - timedelta(minutes=2)
    record(cast.support, now, 3)
    assert _verdicts(now) == {ReconciledDay.Verdict.CATCHING_UP}


@pytest.mark.parametrize("tier", ["minute", "hour", "day", "tenant_minute", "tenant_hour", "tenant_day"])
def test_one_pico_dollar_too_much_in_any_tier_is_found(cast, tier, capsys):
    now = timezone.now() - timedelta(minutes=2)
    record(cast.support, now, 3, tenant="acme")
    drain()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE usage_{tier} SET cost_usd = cost_usd + 0.000000000001")
    with pytest.raises(CommandError, match="differ"):
        call_command("reconcile", "--from", now.date().isoformat())
    assert "different" in capsys.readouterr().out


def test_a_missing_row_is_found(cast):
    now = timezone.now() - timedelta(minutes=2)
    record(cast.support, now, 3)
    drain()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_day")
    (day,) = reconcile.reconcile_day(now.date(), timezone.now())
    assert day.verdict == ReconciledDay.Verdict.DIFFERENT
    assert day.differences[0]["tiers"] == ["hour", "day"]
    assert day.differences[0]["figures"]["events"] == [3, None]


def test_a_run_stores_every_team_and_the_page_shows_only_the_viewers(cast, client):
    now = timezone.now() - timedelta(minutes=2)
    record(cast.support, now, 3)
    record(cast.search, now, 2)
    drain()
    run = reconcile.run(reconcile.request_run(start=now.date(), end=now.date() + timedelta(days=1)).pk)
    assert run.state == "done"
    assert run.days.count() == 2
    client.force_login(cast.vera)
    page = client.get("/reconcile/").content.decode()
    assert "Support AI" in page
    assert "Search &amp; Answers" not in page


def test_a_run_is_carried_out_once(cast):
    asked = reconcile.request_run(start=timezone.now().date(), end=timezone.now().date() + timedelta(days=1))
    assert reconcile.run(asked.pk) is not None
    assert reconcile.run(asked.pk) is None


@pytest.mark.parametrize("tier", ["minute", "hour", "day", "tenant_minute", "tenant_hour", "tenant_day"])
def test_one_conversation_too_many_in_any_tier_is_found(cast, tier):
    now = timezone.now() - timedelta(minutes=2)
    record(cast.support, now, 3, tenant="acme", conversation_id="c-1")
    drain()
    assert _verdicts(now) == {ReconciledDay.Verdict.EQUAL}
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE usage_{tier} SET conversation_sketch = conversation_sketch || '\\x00000007'::bytea")
    (day,) = reconcile.reconcile_day(now.date(), timezone.now())
    assert day.verdict == ReconciledDay.Verdict.DIFFERENT
    counts = [text.partition(" ids")[0] for text in day.differences[0]["figures"]["conversation_sketch"]]
    assert sorted(counts) == ["1", "2"]


def test_a_conversation_seen_by_many_folds_is_equal_in_every_tier(cast):
    now = timezone.now() - timedelta(minutes=2)
    for turn in range(4):
        record(cast.support, now, 2, conversation_id=f"c-{turn % 2}")
        drain()
    assert _verdicts(now) == {ReconciledDay.Verdict.EQUAL}
