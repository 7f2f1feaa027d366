"""The public status page: what it says, what it must not say, and that it answers without a database."""

import json
import time
import uuid
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from incidents.models import Incident, Message, StatusComponent
from incidents.public import kept
from incidents.rules.status_page import Span, days_of, state_of, uptime
from tests.incident import SCRIPT, declared

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAGE, JSON, RSS = "/status/", "/status/status.json", "/status/rss.xml"


@pytest.fixture(autouse=True)
def nothing_kept(broker, monkeypatch):
    """Every test begins without a copy, has a place of its own for it in the broker, and reads anew each time."""
    monkeypatch.setattr(kept, "KEY", f"status-page-{uuid.uuid4()}")
    monkeypatch.setattr(kept, "_memory", {"tried": float("-inf"), "copy": None})
    monkeypatch.setattr(kept, "FRESH", 0.0)


# --- Rules --------------------------------------------------------------------------------------------------------
def test_the_worst_open_incident_makes_the_state():
    ended, three = Span(NOON, NOON, 1), Span(NOON, NOON, 3, is_open=True)
    assert state_of([ended]) == "operational"
    assert state_of([three, Span(NOON, NOON, 4, is_open=True)]) == "degraded"
    assert state_of([three, Span(NOON, NOON, 2, is_open=True)]) == "partial outage"
    assert state_of([Span(NOON, NOON, 1, is_open=True, is_mitigated=True)]) == "recovering"


def test_overlapping_outages_count_once_and_a_day_is_cut_at_midnight():
    spans = [Span(NOON - 13 * HOUR, NOON - 11 * HOUR, 1), Span(NOON - 12 * HOUR, NOON - 10 * HOUR, 2)]
    days = days_of(spans, NOON - timedelta(days=1), NOON)
    assert [(day.down, day.length) for day in days[-2:]] == [(60, 720), (120, 720)]
    assert uptime(days) == 1 - 180 / 1440


def test_days_before_the_record_are_unknown_not_well():
    days = days_of([], NOON - HOUR, NOON)
    assert [day.uptime for day in days] == [None] * 89 + [1.0]
    assert uptime(days_of([], NOON, NOON)) is None


def test_sev3_is_shown_and_is_no_down_time():
    day = days_of([Span(NOON - HOUR, NOON, 3)], NOON - 12 * HOUR, NOON)[-1]
    assert (day.down, day.degraded, day.uptime) == (0, 60, 1.0)


# --- The page -----------------------------------------------------------------------------------------------------
db = pytest.mark.django_db


def component(name: str = "Chat", **more) -> StatusComponent:
    return StatusComponent.objects.create(name=name, **more)


def told(incident: Incident, subject: str = "Answers may be missing", body: str = "We work on it.") -> Message:
    return Message.objects.create(
        incident=incident, kind="status", state="sent", subject=subject, body=body, sent_at=timezone.now()
    )


def state(client) -> dict:
    return client.get(JSON).json()


@db
def test_it_needs_no_login_and_answers_empty(client):
    for url in (PAGE, JSON, RSS):
        assert client.get(url).status_code == 200
    page = client.get(PAGE).content.decode()
    assert "No component is listed yet" in page and "All systems work" not in page
    assert state(client)["state"] == "unknown"


@db
def test_an_incident_sets_the_state_of_the_components_it_touches(client, cast):
    component("Chat", team=cast.support, filters={"feature": ["chat"]})
    component("Search", team=cast.search)
    component("Mail", team=cast.support, filters={"feature": ["mail"]})
    declared(cast, scope={"feature": ["chat"]}, severity=1)
    assert {one["name"]: one["state"] for one in state(client)["components"]} == {
        "Chat": "major outage",
        "Mail": "operational",
        "Search": "operational",
    }
    assert "There is a major outage" in client.get(PAGE).content.decode()


@db
@pytest.mark.parametrize("kind", ["is_private", "is_drill"])
def test_private_incidents_and_drills_change_nothing(client, cast, kind):
    component("Chat")
    told(declared(cast, severity=1, **{kind: True}))
    found = state(client)
    assert (found["state"], found["incidents"], found["components"][0]["uptime"]) == ("operational", [], 1.0)


@db
def test_nothing_but_names_states_and_published_words_leaves(client, cast):
    component("Chat", team=cast.support, filters={"tenant": ["acme-corp"]})
    incident = declared(cast, title="acme-corp hit by openai", summary="internal", scope={"tenant": ["acme-corp"]})
    told(incident)
    Message.objects.create(
        incident=incident, kind="internal", state="sent", subject="secret", body="secret", sent_at=timezone.now()
    )
    Message.objects.create(incident=incident, kind="status", subject="only a draft", body="draft")
    for url in (PAGE, JSON, RSS):
        text = client.get(url).content.decode()
        assert "Answers may be missing" in text
        for word in ("acme", "openai", "internal", "secret", "only a draft", "Support AI", incident.number):
            assert word not in text


@db
def test_an_incident_of_which_nothing_was_published_is_only_a_state(client, cast):
    component("Chat")
    declared(cast, title="Secret name")
    assert state(client)["incidents"] == []
    assert "Secret name" not in client.get(PAGE).content.decode()


@db
def test_script_in_published_words_and_names_is_only_text(client, cast):
    component(SCRIPT, description=SCRIPT)
    told(declared(cast), SCRIPT, SCRIPT)
    assert SCRIPT not in client.get(PAGE).content.decode()
    assert "<script>" not in client.get(RSS).content.decode()


@db
def test_the_feed_is_rss_with_one_item_for_each_message(client, cast):
    incident = declared(cast)
    told(incident, "First")
    told(incident, "Second")
    response = client.get(RSS)
    assert response["Content-Type"].startswith("application/rss+xml")
    titles = [item.findtext("title") for item in ET.fromstring(response.content).iter("item")]
    assert titles == ["Second", "First"]


@db
def test_the_history_says_how_long_it_lasted(client, cast):
    incident = declared(cast)
    told(incident)
    Incident.objects.update(state="resolved", resolved_at=timezone.now())
    (one,) = state(client)["incidents"]
    assert (one["state"], len(one["updates"])) == ("resolved", 1)
    assert "Before" in client.get(PAGE).content.decode()


# --- Without a database -------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_in_time_leaves_the_last_copy(client, cast, monkeypatch):
    component("Chat")
    first = state(client)
    declared(cast, severity=1)
    monkeypatch.setattr(kept, "PATIENCE_MS", 200)
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE incidents_statuscomponent IN ACCESS EXCLUSIVE MODE")
            assert state(client) == first
            cursor.execute("ROLLBACK")
    finally:
        other.close()
    assert state(client)["state"] == "major outage"


@pytest.fixture
def database_away(monkeypatch):
    """Call it, and no connection can be made any more: nobody listens at its port."""

    def leave() -> None:
        connection.close()
        for name, value in (("HOST", "127.0.0.1"), ("PORT", "1")):
            monkeypatch.setitem(connection.settings_dict, name, value)
        monkeypatch.setitem(
            connection.settings_dict, "OPTIONS", connection.settings_dict["OPTIONS"] | {"connect_timeout": 2}
        )

    yield leave
    monkeypatch.undo()
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_leaves_all_three_and_another_process_has_the_copy_too(client, cast, database_away):
    component("Chat")
    told(declared(cast))
    client.force_login(cast.vera)  # a session, which is kept in the database, does not stand in the way
    kept.refresh(timezone.now())
    database_away()
    kept._memory["copy"] = None  # as in a process that never read it
    for url in (PAGE, JSON, RSS):
        response = client.get(url)
        assert (response.status_code, b"Answers may be missing" in response.content) == (200, True)


@pytest.mark.django_db(transaction=True)
def test_an_old_copy_says_how_old_it_is(client, cast, database_away, broker):
    component("Chat")
    old = kept.refresh(timezone.now() - timedelta(hours=1))
    broker.default_channel.client.set(kept.KEY, json.dumps(old))
    database_away()
    assert "newer figures cannot be read" in client.get(PAGE).content.decode()


@pytest.mark.django_db(transaction=True)
def test_without_any_copy_it_says_that_the_status_is_not_known(client, database_away):
    database_away()
    response = client.get(PAGE)
    assert (response.status_code, response["Retry-After"]) == (503, "15")
    assert b"not known now" in response.content
    assert client.get(JSON).status_code == 503


@db
def test_a_broker_that_is_away_costs_nobody_the_page(client, cast, settings):
    settings.BROKER_URL = "redis://127.0.0.1:1/0"
    component("Chat")
    began = time.monotonic()
    assert [one["name"] for one in state(client)["components"]] == ["Chat"]
    assert time.monotonic() - began < 2  # one refused connection, not one retried for seconds


# --- Editing ------------------------------------------------------------------------------------------------------
@db
def test_components_are_edited_by_who_may_and_are_public_at_once(client, cast):
    facts = {"name": "Chat", "position": 1, "team": cast.support.pk, "feature": "chat, mail"}
    client.force_login(cast.olu)
    assert client.post(reverse("component-add"), facts).status_code == 403
    client.force_login(cast.mia)
    assert client.post(reverse("component-add"), facts).status_code == 302
    one = StatusComponent.objects.get()
    assert one.filters == {"feature": ["chat", "mail"]}
    assert client.post(reverse("component-edit", args=[one.pk]), facts | {"name": "Talk"}).status_code == 302
    assert [found["name"] for found in state(client)["components"]] == ["Talk"]
    client.force_login(cast.stan)
    assert client.get(reverse("component-edit", args=[one.pk])).status_code == 404
    client.force_login(cast.mia)
    client.post(reverse("component-remove", args=[one.pk]))
    assert state(client)["components"] == []
    assert AuditEntry.objects.filter(action__startswith="status_component.").count() == 3


@db
def test_a_maintainer_of_a_team_does_not_speak_for_all(client, cast):
    client.force_login(cast.mia)
    page = client.post(reverse("component-add"), {"name": "Everything", "position": 0})
    assert "team" in page.context["form"].errors
