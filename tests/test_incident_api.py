"""GET and POST /api/v1/incidents and their timelines."""

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from incidents.models import Incident, TimelineEntry
from incidents.queries.timeline import as_json, as_markdown
from tests.cast import bearer, make_key
from tests.incident import declared

pytestmark = pytest.mark.django_db
URL = "/api/v1/incidents"
FACTS = {"title": "Answers fail", "severity": 2, "scope": {"provider": ["openai"]}, "failure_mode": "provider"}


@pytest.fixture
def headers(cast) -> dict[str, str]:
    return bearer(make_key(cast.support, "read", "incidents")[1])


def sent(client, headers, path=URL, **more):
    return client.post(path, FACTS | more, content_type="application/json", headers=headers)


def test_a_program_declares_and_nobody_has_acknowledged_yet(client, cast, headers):
    response = sent(client, headers)
    body = response.json()
    assert response.status_code == 201
    assert (body["state"], body["acknowledged_at"], body["scope"]) == ("declared", None, {"provider": ["openai"]})
    assert Incident.objects.get().team == cast.support
    assert client.get(f"{URL}/{body['id']}", headers=headers).json() == body


def test_a_retry_with_the_same_key_is_the_same_incident(client, cast, headers):
    first, second = (sent(client, headers | {"Idempotency-Key": "job-7"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_a_retry_does_not_show_what_became_private(client, cast, headers):
    sent(client, headers | {"Idempotency-Key": "job-7"})
    Incident.objects.update(is_private=True, title="Keys leaked")
    answer = sent(client, headers | {"Idempotency-Key": "job-7"})
    assert answer.status_code == 409
    assert "leaked" not in answer.content.decode()


def test_a_note_of_a_program_has_an_audit_row_and_its_key_as_author(client, cast, headers):
    incident = declared(cast)
    note = sent(client, headers, f"{URL}/{incident.pk}/entries", text="Deployed", url="https://ci.example/7").json()
    row = AuditEntry.objects.get(action="incident.note")
    assert (row.after, row.actor_label) == ({"entry": note["id"]}, note["by"])
    assert note["by"].startswith("key ")
    assert as_json(incident)["timeline"][-1]["by"] == note["by"]
    assert note["by"][:8] in as_markdown(incident)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"title": ""}, "title"),
        ({"severity": 5}, "severity"),
        ({"impact_started_at": "2999-01-01T00:00:00Z"}, "impact_started_at"),
        ({"scope": {"colour": ["red"]}}, "scope"),
        ({"scope": {"tenant": ["a"], "region": ["eu"]}}, "scope"),
        ({"scope": ["x"]}, "scope"),
        ({"failure_mode": "bad luck"}, "failure_mode"),
    ],
    ids=["title", "severity", "future", "dimension", "tenant-by-region", "no-map", "mode"],
)
def test_a_bad_field_is_named_and_nothing_is_written(client, cast, headers, more, field):
    response = sent(client, headers, **more)
    assert response.status_code == 400
    assert response.json()["error"]["field"].startswith(field)
    assert not Incident.objects.exists()


def test_reading_and_writing_need_their_scopes(client, cast):
    read, write = (bearer(make_key(cast.support, scope)[1]) for scope in ("read", "incidents"))
    assert sent(client, read).status_code == 403
    assert client.get(URL, headers=write).status_code == 403
    assert client.get(URL).status_code == 401


def test_private_ones_and_those_of_other_teams_are_in_no_keys_reach(client, cast, headers):
    hidden = [declared(cast, is_private=True), declared(cast, team=cast.search), declared(cast, team=None)]
    assert client.get(URL, headers=headers).json()["incidents"] == []
    for one in hidden:
        assert client.get(f"{URL}/{one.pk}", headers=headers).status_code == 404
        assert client.get(f"{URL}/{one.pk}/entries", headers=headers).status_code == 404
        assert sent(client, headers, f"{URL}/{one.pk}/entries", text="x").status_code == 404


def test_the_list_is_paged_and_narrowed_by_state(client, cast, headers):
    now = timezone.now()
    Incident.objects.bulk_create(
        Incident(
            team=cast.support,
            title="x",
            severity=3,
            state="resolved",
            impact_started_at=now,
            detected_at=now,
            resolved_at=now,
        )
        for _ in range(60)
    )
    one = declared(cast)
    first = client.get(URL, {"state": "over"}, headers=headers).json()
    second = client.get(URL, {"state": "over", "before": first["older"]}, headers=headers).json()
    ids = {row["id"] for page in (first, second) for row in page["incidents"]}
    assert (len(ids), second["older"]) == (60, None)
    assert [row["id"] for row in client.get(URL, {"state": "open"}, headers=headers).json()["incidents"]] == [one.pk]
    for bad in ({"state": "bad"}, {"before": "x"}):
        assert client.get(URL, bad, headers=headers).status_code == 400


def test_a_program_writes_a_note_under_its_own_name(client, cast, headers):
    one = declared(cast)
    response = sent(client, headers, f"{URL}/{one.pk}/entries", text="Deploy rolled back", url="https://ci.example/7")
    assert response.status_code == 201
    entries = client.get(f"{URL}/{one.pk}/entries", headers=headers).json()["entries"]
    assert (entries[0]["text"], entries[0]["kind"]) == ("Deploy rolled back", "note")
    assert entries[0]["by"].startswith("key test")
    bad = sent(client, headers, f"{URL}/{one.pk}/entries", text="x", url="javascript:alert(1)")
    assert (bad.status_code, TimelineEntry.objects.filter(kind="note").count()) == (400, 1)
