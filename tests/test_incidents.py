"""The list of incidents and declaring one: from a person and from alerts, with the severity that figures suggest."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions import raise_alert
from incidents.actions.incidents import declare_incident
from incidents.models import Alert, AlertGroup, Incident
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert(1)</script>"


def declared(cast, **more) -> Incident:
    facts = {"author": Author(user=cast.olu), "team": cast.support, "title": "Answers fail", "severity": 2}
    return declare_incident(**facts | {"at": timezone.now()} | more)


def posted(cast, **more) -> dict:
    return {
        "title": "Answers fail",
        "severity": 2,
        "team": cast.support.pk,
        "impact_started_at": "2026-05-04T12:00",
    } | more


def group_of(cast, *alerts: Alert) -> AlertGroup:
    group = AlertGroup.objects.create(
        team=cast.support, key="k", title="openai fails", severity="critical", route="page", opened_at=timezone.now()
    )
    group.alerts.set(alerts)
    return group


def alert_of(cast, key: str, **labels) -> Alert:
    return raise_alert(
        source_kind="rule", source_key=key, team=cast.support, severity="critical", route="page", title=f"Alert {key}",
        runbook="provider-outage#detection", at=timezone.now() - timedelta(minutes=9), labels=labels,
    )  # fmt: skip


def test_a_person_declares_and_lands_on_the_incident(client, cast):
    client.force_login(cast.olu)
    response = client.post(reverse("incident-declare"), posted(cast, feature="answers, search"))
    incident = Incident.objects.get()
    assert response.url == reverse("incident-detail", args=[incident.pk])
    assert (incident.severity, incident.team, incident.scope) == (2, cast.support, {"feature": ["answers", "search"]})
    assert incident.acknowledged_at == incident.detected_at
    assert [entry.kind for entry in incident.timeline.all()] == ["declared"]
    assert AuditEntry.objects.filter(action="incident.declare", actor=cast.olu).count() == 1


def test_a_viewer_does_not_declare(client, cast):
    client.force_login(cast.vera)
    assert client.get(reverse("incident-declare")).status_code == 403
    assert client.post(reverse("incident-declare"), posted(cast)).status_code == 403


def test_nobody_declares_for_a_team_of_others(client, cast):
    client.force_login(cast.olu)
    response = client.post(reverse("incident-declare"), posted(cast, team=cast.search.pk))
    assert response.status_code == 200
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("title", ""), ("severity", "5"), ("impact_started_at", "2999-01-01T00:00"), ("feature", "x" * 300)],
)
def test_a_bad_field_is_named_and_nothing_is_written(client, cast, field, value):
    client.force_login(cast.olu)
    response = client.post(reverse("incident-declare"), posted(cast, **{field: value}))
    assert field in response.context["form"].errors
    assert not Incident.objects.exists()


def test_an_alert_group_fills_the_form_in_and_becomes_the_incidents(client, cast):
    group = group_of(cast, alert_of(cast, "1", provider="openai", region="eu"), alert_of(cast, "2", provider="openai"))
    client.force_login(cast.olu)
    url = f"{reverse('incident-declare')}?group={group.pk}"
    initial = client.get(url).context["form"].initial
    assert (initial["title"], initial["severity"], initial["provider"]) == ("openai fails", 2, "openai")
    assert initial["impact_started_at"] == Alert.objects.earliest("started_at").started_at
    client.post(url, posted(cast))
    group.refresh_from_db()
    assert group.incident == Incident.objects.get()


def test_two_people_who_declare_from_one_group_make_one_incident(client, cast):
    url = f"{reverse('incident-declare')}?group={group_of(cast).pk}"
    for user in (cast.olu, cast.mia):
        client.force_login(user)
        client.post(url, posted(cast))
    assert Incident.objects.count() == 1


def test_the_group_of_another_team_is_not_there(client, cast):
    group = group_of(cast)
    client.force_login(cast.stan)
    assert client.get(f"{reverse('incident-declare')}?group={group.pk}").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_suggestion_shows_the_numbers_behind_it(client, cast):
    record(cast.support, timezone.now() - timedelta(minutes=5), 40, status="error", error_type="timeout")
    record(cast.support, timezone.now() - timedelta(minutes=5), 10)
    drain()
    client.force_login(cast.olu)
    page = client.get(reverse("incident-suggestion"), {"team": cast.support.pk}).content.decode()
    assert "SEV1" in page
    assert "80 % of 50 requests fail" in page


def test_open_ones_come_first_and_the_worst_on_top(client, cast):
    titles = [declared(cast, title=f"of {severity}", severity=severity).title for severity in (3, 1, 2)]
    client.force_login(cast.vera)
    shown = [one.title for one in client.get(reverse("incident-list")).context["open"]]
    assert shown == sorted(titles)


def test_the_list_is_paged_by_key_and_asks_the_same_number_of_queries(client, cast, django_assert_max_num_queries):
    now = timezone.now()
    Incident.objects.bulk_create(
        Incident(
            team=cast.support, title=f"Old {n}", severity=3, state="resolved", impact_started_at=now, detected_at=now,
            resolved_at=now,
        )
        for n in range(120)
    )  # fmt: skip
    client.force_login(cast.vera)
    seen, url = [], reverse("incident-list")
    while url:
        with django_assert_max_num_queries(30):
            context = client.get(url).context
        seen += [one.pk for one in context["past"]]
        url = context["older_url"] and reverse("incident-list") + context["older_url"]
    assert (len(seen), len(set(seen))) == (120, 120)


def test_search_finds_words_and_numbers_and_filters_narrow(client, cast):
    one, other = declared(cast, title="Answers fail", severity=1), declared(cast, title="Slow search", severity=3)
    client.force_login(cast.vera)

    def found(**parameters):
        return list(client.get(reverse("incident-list"), parameters).context["open"])

    assert found(q="ANSWERS") == [one]
    assert found(q=f"inc-{other.pk}") == [other]
    assert found(severity="3") == [other]
    assert found(team="search") == []
    assert found(q="%") == []


def test_another_teams_incident_is_neither_listed_nor_there(client, cast):
    incident = declared(cast)
    client.force_login(cast.stan)
    assert list(client.get(reverse("incident-list")).context["open"]) == []
    assert client.get(reverse("incident-detail", args=[incident.pk])).status_code == 404


def test_script_in_a_title_is_only_text(client, cast):
    incident = declared(cast, title=SCRIPT, summary=SCRIPT)
    client.force_login(cast.vera)
    for url in (reverse("incident-list"), reverse("incident-detail", args=[incident.pk])):
        page = client.get(url).content.decode()
        assert SCRIPT not in page
        assert "&lt;script&gt;" in page
