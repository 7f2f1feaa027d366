"""Anomalies over the roll-ups: found at once, once, brought up to date by late events, decided on, and shown."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEntry
from budgets.anomalies.decide import decide_anomaly
from budgets.anomalies.evaluate import evaluate
from budgets.models import Anomaly, AnomalyWatch
from incidents.models import Alert
from tests.cast import bearer
from tests.traffic import event, record
from usage.actions import record_events
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
NO_WAIT = timedelta(0)
# Hours of an office: calls by hour of day.
CALLS = (2, 2, 2, 2, 2, 3, 4, 6, 9, 12, 12, 11, 10, 11, 12, 11, 9, 7, 5, 4, 3, 3, 2, 2)


@pytest.fixture
def now() -> datetime:
    """Six minutes past a busy hour, today: the roll-ups accept events of the last weeks only."""
    return datetime.now(UTC).replace(hour=10, minute=6, second=0, microsecond=0) - timedelta(days=1)


def past(team, now, times=1, days=10, **fields):
    """Days of a daily rhythm up to the hour that runs."""
    hours = [now.replace(minute=0) - back * HOUR for back in range(days * 24, 0, -1)]
    calls = [times * CALLS[at.hour] + (at.toordinal() * 7 + at.hour) % 2 for at in hours]
    moments = [at + n * timedelta(seconds=50) for at, many in zip(hours, calls, strict=True) for n in range(many)]
    events = [event(at, **fields) for at in moments]
    assert record_events(team=team, environment="", api_key_id=None, events=events).rejected == []


def look(now):
    drain()
    return evaluate(now, every=NO_WAIT)


def spikes(team, at, number=600):
    record(team, at + timedelta(minutes=1), number)


@pytest.fixture
def spiked(cast, now):
    """A spike in the hour before the one that runs; evaluated."""
    past(cast.support, now)
    spikes(cast.support, now.replace(minute=0) - HOUR)
    look(now)
    return cast


def spend():
    return Anomaly.objects.get(metric="spend", is_withdrawn=False)


def test_a_rhythm_has_no_anomaly(cast, now):
    past(cast.support, now)
    assert look(now) == 2
    assert not Anomaly.objects.exists()
    assert AnomalyWatch.objects.get().sealed_until == now.replace(minute=0) - 3 * HOUR


def test_a_spike_is_found_when_its_hour_is_over(spiked, now):
    one = spend()
    assert one.started_at == now.replace(minute=0) - HOUR
    assert one.up and one.ended_at is None and one.value > 10 * one.expected > 0
    usual = Decimal(str(one.expected))
    assert one.size_usd == pytest.approx(Decimal(str(one.value)) - usual, rel=Decimal("1e-6"))


def test_its_alert_names_runbook_team_and_page(spiked):
    alert = Alert.objects.get(source_kind="anomaly")
    assert (alert.team, alert.runbook, alert.severity) == (spiked.support, "cost-spike#detection", "critical")
    assert alert.url == reverse("anomaly-detail", args=[spend().pk])


def test_looking_again_changes_nothing(spiked, now):
    before = list(Anomaly.objects.values()), list(AnomalyWatch.objects.values("state", "sealed_until"))
    look(now)
    assert (list(Anomaly.objects.values()), list(AnomalyWatch.objects.values("state", "sealed_until"))) == before
    assert Alert.objects.count() == 1


def test_a_team_just_evaluated_is_left_alone(spiked, now):
    for later, evaluated in ((timedelta(minutes=4), now), (timedelta(minutes=6), now + timedelta(minutes=6))):
        evaluate(now + later)
        assert AnomalyWatch.objects.get().evaluated_at == evaluated


def test_it_is_over_after_two_hours_back_inside(spiked, now):
    for hours in range(3):
        at = now.replace(minute=0) + hours * HOUR
        record(spiked.support, at + timedelta(minutes=5), CALLS[at.hour])
    look(now + 3 * HOUR)
    assert spend().ended_at == now.replace(minute=0)
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_a_late_look_finds_what_timely_looks_would_have(spiked, now):
    timely = spend()
    AnomalyWatch.objects.all().delete()
    record(spiked.support, now, 10)
    look(now + 9 * HOUR)
    late = spend()
    assert (late.started_at, late.value, late.expected) == (timely.started_at, timely.value, timely.expected)


def test_late_events_can_explain_an_anomaly_away(cast, now):
    past(cast.support, now - HOUR, times=4)
    look(now)  # the last hour had nothing yet: its events are late
    fallen = Anomaly.objects.filter(metric="requests")
    started = now.replace(minute=0) - HOUR
    record(cast.search, started, 1)  # somebody else was heard, so the hour counts as one of nothing
    look(now)
    assert [one.started_at for one in fallen] == [started]
    record(cast.support, started + timedelta(minutes=5), 4 * CALLS[started.hour])
    look(now)
    assert [one.is_withdrawn for one in fallen.all()] == [True]


def test_an_hour_in_which_nobody_was_heard_is_a_gap(cast, now):
    past(cast.support, now - 3 * HOUR)
    look(now)
    assert not Anomaly.objects.exists()


def test_a_spike_in_the_hour_that_runs_is_provisional(cast, now):
    past(cast.support, now)
    spikes(cast.support, now.replace(minute=0))
    look(now)
    assert spend().is_provisional and spend().started_at == now.replace(minute=0)
    look(now + HOUR)
    assert not spend().is_provisional and spend().started_at == now.replace(minute=0)


def test_a_small_figure_is_no_anomaly_however_strange(cast, now, settings):
    settings.ANOMALY_LEAST_USD = "1000"
    past(cast.support, now)
    spikes(cast.support, now.replace(minute=0) - HOUR)
    look(now)
    assert not Anomaly.objects.filter(metric="spend").exists()


def test_longer_prompts_are_found_by_tokens_per_call(cast, now):
    past(cast.support, now, days=16)
    record(cast.support, now.replace(minute=0) - HOUR + timedelta(minutes=9), 60, input_tokens=4000)
    look(now)
    assert Anomaly.objects.get(metric="tokens_per_call").value == pytest.approx(3600, rel=0.15)


def test_hours_of_many_slices_are_read_by_few_queries(cast, now):
    record(cast.support, now - HOUR, 3)
    look(now)
    for feature in ("one", "two", "three"):
        record(cast.support, now - HOUR, 3, feature=feature)
    drain()
    with CaptureQueriesContext(connection) as few:
        evaluate(now, every=NO_WAIT)
    for feature in ("four", "five", "six", "seven", "eight"):
        record(cast.support, now - HOUR, 3, feature=feature)
    drain()
    with CaptureQueriesContext(connection) as many:
        evaluate(now, every=NO_WAIT)
    reads = [sum("usage_" in query["sql"] for query in asked.captured_queries) for asked in (few, many)]
    assert reads[0] == reads[1]


# --- Deciding -----------------------------------------------------------------------------------------------------
def test_calling_it_expected_ends_its_alert_and_is_audited(spiked, now, client):
    client.force_login(spiked.olu)
    url = reverse("anomaly-decide", args=[spend().pk])
    answer = client.post(url, {"decision": "expected", "reason": "Load test"}, follow=True)
    assert "Load test" in answer.content.decode()
    assert spend().decision == "expected" and spend().decided_by == spiked.olu
    assert not Alert.objects.filter(resolved_at=None, labels__metric="spend").exists()
    entry = AuditEntry.objects.get(action="anomaly.expected")
    assert (entry.actor, entry.team, entry.reason) == (spiked.olu, spiked.support, "Load test")


def test_all_decided_no_alert_fires_and_a_look_keeps_the_decisions(spiked, now):
    for one in Anomaly.objects.all():
        decide_anomaly(anomaly=one, decision="dismissed", reason="Known", actor=spiked.olu, now=now)
    look(now)
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert set(Anomaly.objects.values_list("decision", flat=True)) == {"dismissed"}


def test_opened_again_it_alerts_again(spiked, now, client):
    decide_anomaly(anomaly=spend(), decision="dismissed", reason="Known", actor=spiked.olu, now=now)
    client.force_login(spiked.olu)
    client.post(reverse("anomaly-reopen", args=[spend().pk]), {"reason": "It was not"})
    assert spend().decision == "" and Alert.objects.filter(resolved_at=None, labels__metric="spend").exists()
    assert AuditEntry.objects.filter(action="anomaly.reopened").exists()


def test_a_decision_needs_a_reason(spiked, now, client):
    with pytest.raises(ValidationError, match="Say why"):
        decide_anomaly(anomaly=spend(), decision="expected", reason=" ", actor=spiked.olu, now=now)
    client.force_login(spiked.olu)
    answer = client.post(reverse("anomaly-decide", args=[spend().pk]), {"decision": "expected"})
    assert answer.status_code == 422 and spend().decision == ""


def test_a_viewer_may_look_but_not_decide_and_a_stranger_sees_nothing(spiked, client):
    page, decide = (reverse(name, args=[spend().pk]) for name in ("anomaly-detail", "anomaly-decide"))
    client.force_login(spiked.vera)
    assert client.get(page).status_code == 200
    assert client.post(decide, {"decision": "expected", "reason": "x"}).status_code == 403
    client.force_login(spiked.stan)
    assert client.get(page).status_code == 404
    assert "answers" not in client.get(reverse("anomaly-list")).content.decode()


# --- Pages and API ------------------------------------------------------------------------------------------------
def test_the_list_names_slice_size_and_state(spiked, client):
    client.force_login(spiked.vera)
    body = client.get(reverse("anomaly-list"), {"state": "open"}).content.decode()
    assert "Spend up: answers · gpt-4o" in body and "running" in body
    assert "None fits" in client.get(reverse("anomaly-list"), {"state": "decided"}).content.decode()


def test_the_page_of_one_links_to_what_changed(spiked, client):
    client.force_login(spiked.vera)
    body = client.get(reverse("anomaly-detail", args=[spend().pk])).content.decode()
    assert "/spend/explain/?metric=spend" in body and "feature=answers" in body and "expected" in body


def test_the_api_lists_the_keys_team(spiked, client, support_key):
    found = client.get("/api/v1/anomalies", headers=bearer(support_key)).json()
    one = next(row for row in found if row["metric"] == "spend")
    assert (one["feature"], one["model"], one["direction"], one["ended_at"]) == ("answers", "gpt-4o", "up", None)
    assert Decimal(one["size_usd"]) == spend().size_usd


@pytest.mark.parametrize(
    ("name", "value"), [("state", "gone"), ("since", "yesterday"), ("since", "2026-01-01T00:00:00")]
)
def test_the_api_says_what_is_wrong(cast, client, support_key, name, value):
    answer = client.get("/api/v1/anomalies", {name: value}, headers=bearer(support_key))
    assert answer.status_code == 400 and answer.json()["error"]["field"] == name
