"""What people do to an incident: states, roles, edits, links. Two at once lose nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions.incidents import Changed, move_incident
from incidents.models import AlertGroup, Channel, Delivery, Incident, IncidentRole, NotificationRoute, Responsibility
from incidents.seal import seal
from tests.incident import declared, url_of

pytestmark = pytest.mark.django_db


def texts(incident: Incident) -> list[str]:
    return list(incident.timeline.order_by("id").values_list("text", flat=True))


def moved(client, incident: Incident, to: str, **more):
    incident.refresh_from_db()
    return client.post(url_of(incident, "move"), {"to": to, "version": incident.version} | more)


def test_the_whole_way_stamps_its_times_and_leaves_a_trace(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "acknowledge"))
    for state in ("triaging", "mitigating", "monitoring", "resolved", "learned"):
        assert moved(client, incident, state).status_code == 302
    incident.refresh_from_db()
    times = [incident.detected_at, incident.acknowledged_at, incident.mitigated_at, incident.resolved_at]
    assert times == sorted(times)
    assert incident.learned_at >= incident.resolved_at
    assert incident.state == "learned"
    assert AuditEntry.objects.filter(action="incident.move").count() == 5
    assert any("Monitoring → Resolved, 10 min" in text for text in texts(incident))


def test_the_first_act_of_a_person_acknowledges(client, cast):
    incident = declared(cast)
    assert incident.acknowledged_at is None
    client.force_login(cast.olu)
    client.post(url_of(incident, "note"), {"text": "I look"})
    incident.refresh_from_db()
    assert incident.acknowledged_at is not None


def test_a_resolved_incident_is_reopened_with_its_history(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    moved(client, incident, "resolved")
    moved(client, incident, "triaging", note="It fails again")
    incident.refresh_from_db()
    assert (incident.state, incident.resolved_at, incident.mitigated_at) == ("triaging", None, None)
    assert texts(incident)[-1] == "Reopened: Resolved → Triaging. It fails again"
    assert any("→ Resolved" in text for text in texts(incident))


def test_there_is_no_way_from_declared_to_learned(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    assert moved(client, incident, "learned").status_code == 302
    incident.refresh_from_db()
    assert incident.state == "declared"


def test_a_viewer_changes_nothing(client, cast):
    incident = declared(cast)
    client.force_login(cast.vera)
    for name in ("acknowledge", "move", "note", "role", "pin", "link"):
        assert client.post(url_of(incident, name), {"to": "resolved", "version": 1}).status_code == 403
    assert "Take command" not in client.get(url_of(incident)).content.decode()
    assert len(texts(incident)) == 1


def test_who_resolves_second_is_told_who_was_first(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    moved(client, incident, "monitoring")
    seen = Incident.objects.get().version
    client.post(url_of(incident, "move"), {"to": "resolved", "version": seen})
    client.force_login(cast.mia)
    late = client.post(url_of(incident, "move"), {"to": "resolved", "version": seen, "note": "Errors are gone"})
    assert late.status_code == 409
    page = late.content.decode()
    assert "Olu" in page
    assert "Monitoring → Resolved" in page
    assert 'value="Errors are gone"' in page
    again = {"to": "resolved", "note": "Errors are gone", "version": late.context["incident"].version}
    client.post(url_of(incident, "move"), again)
    assert texts(incident)[-1] == "Errors are gone"


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_resolve_at_once_one_does(cast):
    incident = declared(cast)

    def resolve(_):
        try:
            move_incident(author=Author(user=cast.olu), incident=incident, to="resolved", at=timezone.now(), version=1)
            return "done"
        except Changed:
            return "changed"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(resolve, range(8))) == ["changed"] * 7 + ["done"]
    assert incident.timeline.filter(text__contains="→ Resolved").count() == 1


def edited(incident: Incident, **more) -> dict:
    facts = {"title": incident.title, "severity": incident.severity, "team": incident.team_id, "version": 1}
    return facts | {"impact_started_at": f"{incident.impact_started_at:%Y-%m-%dT%H:%M}"} | more


def test_an_edit_that_came_second_is_shown_beside_the_first_and_loses_nothing(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    assert client.post(url_of(incident, "edit"), edited(incident, severity=1)).status_code == 302
    client.force_login(cast.mia)
    late = client.post(url_of(incident, "edit"), edited(incident, title="Answers fail in Europe", summary="Long text"))
    assert late.status_code == 409
    page = late.content.decode()
    assert "severity SEV2 → SEV1" in page
    assert 'value="Answers fail in Europe"' in page
    assert "Long text" in page
    incident.refresh_from_db()
    assert (incident.title, incident.severity) == ("Answers fail", 1)
    again = late.context["version"]
    assert client.post(url_of(incident, "edit"), edited(incident, title="Mine", version=again)).status_code == 302


def test_saving_what_is_so_already_changes_nothing(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "edit"), edited(incident))
    incident.refresh_from_db()
    assert (incident.version, len(texts(incident))) == (1, 1)


def test_an_edit_says_on_the_timeline_what_changed(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "edit"), edited(incident, feature="answers", failure_mode="provider"))
    assert "failure mode none → Provider outage or degradation" in texts(incident)[-1]
    assert "scope none → feature answers" in texts(incident)[-1]


def test_roles_are_taken_handed_over_and_given_up(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "role"), {"role": "commander"})
    client.post(url_of(incident, "role"), {"role": "commander", "user": cast.mia.pk})
    client.post(url_of(incident, "role"), {"role": "commander", "user": 0})
    assert [str(r.user.email).split("@")[0] for r in IncidentRole.objects.order_by("id")] == ["olu", "mia"]
    assert not IncidentRole.objects.filter(until=None).exists()
    told = [text for text in texts(incident) if text.startswith("Commander")]
    assert told == ["Commander: Olu", "Commander: Mia, handed over by Olu", "Commander: nobody"]


def test_a_stranger_gets_no_role(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    assert client.post(url_of(incident, "role"), {"role": "scribe", "user": cast.stan.pk}).status_code == 404


def test_the_next_step_follows_the_state(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    assert client.get(url_of(incident)).context["step"].do == "Acknowledge it"
    client.post(url_of(incident, "acknowledge"))
    assert client.get(url_of(incident)).context["step"].do == "Take command"
    client.post(url_of(incident, "role"), {"role": "commander"})
    assert client.get(url_of(incident)).context["step"].do == "Find out what fails"


def test_a_merged_incident_closes_and_its_alerts_go_over(client, cast):
    one, other = declared(cast), declared(cast, title="The same", impact_started_at=timezone.now() - timedelta(hours=2))
    group = AlertGroup.objects.create(
        team=cast.support,
        key="k",
        title="t",
        severity="critical",
        route="page",
        opened_at=timezone.now(),
        incident=other,
    )
    client.force_login(cast.olu)
    client.post(url_of(other, "link"), {"other": f"inc-{one.pk}", "merge": 1})
    other.refresh_from_db(), one.refresh_from_db(), group.refresh_from_db()
    assert (other.state, other.merged_into, group.incident) == ("resolved", one, one)
    assert one.impact_started_at == other.impact_started_at
    assert texts(other)[-1] == f"Merged into {one}"
    assert texts(one)[-1] == f"Took over {other}"


def test_linked_incidents_point_to_each_other_and_can_be_unlinked(client, cast):
    one, other = declared(cast), declared(cast, title="Before")
    client.force_login(cast.olu)
    client.post(url_of(one, "link"), {"other": other.pk})
    client.post(url_of(one, "link"), {"other": other.pk})
    assert str(other) in client.get(url_of(one)).content.decode()
    assert texts(other).count(f"Linked with {one}") == 1
    client.post(url_of(one, "link"), {"other": other.pk, "unlink": 1})
    assert client.get(url_of(one)).context["linked"] == []


def test_the_title_of_another_teams_incident_is_not_told_on_a_timeline(client, cast):
    one, other = declared(cast), declared(cast, team=cast.search, title="Secret plans")
    client.force_login(cast.ada)
    client.post(url_of(one, "link"), {"other": other.pk})
    client.force_login(cast.vera)
    page = client.get(url_of(one)).content.decode()
    assert f"Linked with {other.number}" in page
    assert "Secret plans" not in page


def test_the_owners_of_the_feature_are_shown_else_those_of_the_team(client, cast):
    for feature, name in (("", "Everyone"), ("answers", "Answer people")):
        Responsibility.objects.create(team=cast.support, feature=feature, duty="accountable", name=name)
    client.force_login(cast.vera)
    for scope, name in (({"feature": ["answers"]}, "Answer people"), ({}, "Everyone")):
        owners = client.get(url_of(declared(cast, scope=scope))).context["owners"]
        assert [(label, [one.who for one in who]) for label, who in owners] == [("Accountable", [name])]


def test_the_owner_matrix_is_edited_by_those_who_work_incidents(client, cast):
    client.force_login(cast.vera)
    cell = {"team": cast.support.pk, "duty": "accountable", "name": "Legal"}
    assert client.post("/incidents/owners/", cell).status_code == 403
    client.force_login(cast.olu)
    assert client.post("/incidents/owners/", cell).status_code == 302
    assert "one of the two" in client.post("/incidents/owners/", cell | {"name": ""}).content.decode()
    assert client.post(f"/incidents/owners/{Responsibility.objects.get().pk}/remove/").status_code == 302
    assert not Responsibility.objects.exists()


def channel_of(team) -> Channel:
    channel = Channel.objects.create(
        name="chat", team=team, kind="email", address=seal("a@desk.example"), shown="a@desk.example"
    )
    NotificationRoute.objects.create(team=team, channel=channel)
    return channel


def sent_out() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("id").values_list("kind", "route"))


def test_channels_are_told_when_it_begins_becomes_worse_and_is_resolved(client, cast):
    channel_of(cast.support)
    incident = declared(cast, severity=3, source_kind="person")
    client.force_login(cast.olu)
    for severity in (2, 3, 2):
        incident.refresh_from_db()
        client.post(url_of(incident, "edit"), edited(incident, severity=severity, version=incident.version))
    moved(client, incident, "resolved")
    assert sent_out() == [("incident", "ticket"), ("incident", "page"), ("resolved", "ticket")]


def test_of_a_private_incident_channels_are_told_nothing(client, cast):
    channel_of(cast.support)
    incident = declared(cast, severity=1, source_kind="person", is_private=True)
    client.force_login(cast.tara)
    moved(client, incident, "resolved")
    assert sent_out() == []
