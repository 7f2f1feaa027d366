"""Notifications of Prometheus Alertmanager: real ones, repeated, out of order, broken."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from incidents.models import Alert, AlertGroup, Delivery
from incidents.rules.alertmanager import DEFAULT_RUNBOOK, Doing, decide, runbook_of, severity_of, supersedes
from tests.cast import bearer, make_key
from tests.test_notifying import make_channel

WIRE = Path(settings.BASE_DIR).parent / "shared" / "wire" / "alertmanager"
URL = "/api/v1/alertmanager"
BEGAN = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def send(client, cast):
    headers = bearer(make_key(cast.support, "alerts")[1])

    def post(body) -> dict:
        text = body if isinstance(body, bytes | str) else json.dumps(body)
        answer = client.post(URL, text, content_type="application/json", headers=headers)
        return answer.json() | {"status": answer.status_code}

    return post


def wire(*alerts: dict, group: str = '{}:{alertname="Down"}') -> dict:
    return {"version": "4", "groupKey": group, "status": "firing", "alerts": list(alerts)}


def one(status="firing", minutes=0, lasts=10, **more) -> dict:
    """An alert that began `minutes` after BEGAN."""
    starts = BEGAN + timedelta(minutes=minutes)
    ends = "0001-01-01T00:00:00Z" if status == "firing" else (starts + timedelta(minutes=lasts)).isoformat()
    facts = {"status": status, "fingerprint": "a1", "startsAt": starts.isoformat(), "endsAt": ends}
    facts |= {"labels": {"alertname": "Down", "severity": "critical"}, "annotations": {"summary": "It is down"}}
    return facts | more


@pytest.mark.skipif(not WIRE.is_dir(), reason="needs ../shared/wire/alertmanager")
@pytest.mark.django_db
def test_what_a_real_alertmanager_sent_is_the_episodes_it_meant(send):
    expected = json.loads((WIRE / "expected.json").read_text())
    for file in sorted(WIRE.glob("*.body")):
        assert send(file.read_bytes())["status"] == 200
    found = {alert.labels["instance"]: alert for alert in Alert.objects.filter(source_kind="alertmanager")}
    assert len(found) == Alert.objects.count() == expected["distinct_alert_episodes"]
    for episode in expected["episodes"]:
        alert = found[episode["instance"]]
        assert (alert.title, alert.severity, alert.route) == (episode["summary"], "critical", "page")
        assert alert.started_at == datetime.fromisoformat(episode["starts_at"])
        assert alert.resolved_at == datetime.fromisoformat(episode["ends_at"])
        assert episode["runbook_url"] in alert.detail
        assert "Zürich – 日本" in alert.detail
    assert AlertGroup.objects.count() == expected["distinct_groups"]
    assert AlertGroup.objects.get().closed_at is not None


@pytest.mark.django_db
def test_a_group_that_comes_50_times_and_out_of_order_is_the_same_alert(send, cast):
    make_channel(team=cast.support)
    bodies = [wire(one())] * 25 + [wire(one("resolved"))] * 25
    random.Random(7).shuffle(bodies)
    for body in bodies:
        assert send(body)["status"] == 200
    alert = Alert.objects.get(source_kind="alertmanager")
    assert (alert.started_at, alert.resolved_at) == (BEGAN, BEGAN + timedelta(minutes=10))
    assert Delivery.objects.count() <= 2


@pytest.mark.django_db
def test_a_resolution_that_overtakes_its_alert_leaves_nothing_firing(send, cast):
    make_channel(team=cast.support)
    assert send(wire(one("resolved")))["noted"] == 1
    assert send(wire(one()))["ignored"] == 1
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert not Delivery.objects.exists()


@pytest.mark.django_db
def test_the_same_alert_with_a_newer_start_is_a_new_one_and_a_late_end_of_the_old_does_not_end_it(send):
    send(wire(one()))
    assert send(wire(one(minutes=30)))["opened"] == 1
    assert send(wire(one("resolved")))["ignored"] == 1
    old, new = Alert.objects.order_by("started_at")
    assert (old.resolved_at, new.resolved_at) == (BEGAN + timedelta(minutes=30), None)
    assert send(wire(one()))["ignored"] == 1


@pytest.mark.django_db
def test_an_episode_heard_of_only_by_its_end_ends_the_one_before(send):
    send(wire(one()))
    assert send(wire(one("resolved", minutes=30)))["noted"] == 1
    assert not Alert.objects.filter(resolved_at=None).exists()


@pytest.mark.django_db
def test_one_alert_twice_in_one_notification_is_taken_in_the_order_of_its_starts(send):
    answer = send(wire(one(minutes=30), one("resolved"), one(minutes=30)))
    assert (answer["noted"], answer["opened"], answer["updated"]) == (1, 1, 1)
    assert Alert.objects.filter(resolved_at=None).count() == 1


@pytest.mark.django_db
def test_alerts_of_different_groups_are_told_apart_and_of_one_group_together(send, cast):
    make_channel(team=cast.support)
    send(wire(one(), one(fingerprint="a2")))
    assert Delivery.objects.count() == 1
    send(wire(one(fingerprint="b1"), group='{}:{alertname="Disk"}'))
    assert Delivery.objects.count() == 2
    assert AlertGroup.objects.count() == 2


@pytest.mark.django_db
def test_another_team_with_the_same_fingerprint_has_its_own_alert(send, client, cast):
    send(wire(one()))
    headers = bearer(make_key(cast.search, "alerts")[1])
    client.post(URL, json.dumps(wire(one("resolved"))), content_type="application/json", headers=headers)
    assert Alert.objects.get(team=cast.support).is_firing
    assert not Alert.objects.get(team=cast.search).is_firing


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (wire(one(startsAt="yesterday")), "alerts[0].startsAt"),
        (wire(one(), one(startsAt="2026-05-04T12:00:00")), "alerts[1].startsAt"),
        (wire(one(startsAt="9999-12-31T23:59:59Z")), "alerts[0].startsAt"),
        (wire(one("resolved", endsAt="0001-01-01T00:00:00Z")), "alerts[0].endsAt"),
        (wire(one("broken")), "alerts[0].status"),
        (wire(one(labels={"a": 1})), "alerts[0].labels[...]"),
        (wire(one(labels={"a": "x" * 1001})), "alerts[0].labels[...]"),
        (wire(one(labels={str(n): "x" for n in range(65)})), "alerts[0].labels"),
        (wire(one(fingerprint="")), "alerts[0].fingerprint"),
        (wire(*[one()] * 2001), "alerts"),
        ({"version": "4"}, None),
        ("[1", None),
        (b"\xff\xfe", None),
    ],
    ids=range(13),
)
def test_what_is_broken_is_refused_by_field_and_nothing_is_kept(send, body, field):
    answer = send(body)
    assert (answer["status"], answer["error"]["field"]) == (400, field)
    assert not Alert.objects.filter(source_kind="alertmanager").exists()


@pytest.mark.django_db
def test_a_body_that_is_too_large_is_refused(send):
    assert send(b" " * (4 * 1024 * 1024 + 1))["status"] == 413


@pytest.mark.django_db
def test_hostile_texts_are_kept_as_texts(send, client, cast):
    hostile = {"summary": "<script>alert(1)</script>\u0000", "description": "x"}
    assert send(wire(one(annotations=hostile, generatorURL="javascript:alert(1)")))["status"] == 200
    alert = Alert.objects.get(source_kind="alertmanager")
    assert alert.url == ""
    client.force_login(cast.vera)
    assert "<script>alert(1)" not in client.get("/alerts/").content.decode()


@pytest.mark.django_db
def test_a_key_without_the_scope_is_refused(client, cast):
    headers = bearer(make_key(cast.support, "ingest")[1])
    answer = client.post(URL, json.dumps(wire(one())), content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_scope")


def test_severity_and_runbook_are_read_from_what_senders_write():
    assert [severity_of({"severity": said}) for said in ("Critical", "page", "warn", "info", "purple")] == [
        "critical",
        "critical",
        "warning",
        "info",
        "warning",
    ]
    slugs = {"latency", "provider-outage"}
    assert runbook_of({"runbook": "latency"}, slugs) == "latency#containment"
    url = "https://desk.example/runbooks/provider-outage/#mitigation"
    assert runbook_of({"runbook_url": url}, slugs) == "provider-outage#mitigation"
    assert runbook_of({"runbook_url": "https://wiki.example/instance-down"}, slugs) == DEFAULT_RUNBOOK


EPISODES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40)


@given(EPISODES)
def test_whatever_comes_in_whatever_order_at_most_the_newest_episode_is_open(told):
    known: dict[datetime, bool] = {}
    ended: set[datetime] = set()
    for number, firing in told:
        start = BEGAN + timedelta(hours=number)
        doing = decide(firing=firing, starts_at=start, known=known)
        if supersedes(start, known):
            known = dict.fromkeys(known, False)
        if doing is not Doing.IGNORE:
            known[start] = firing
        if not firing:
            ended.add(start)
    is_open = [start for start, firing in known.items() if firing]
    assert is_open in ([], [max(known, default=None)])
    assert not set(is_open) & ended
