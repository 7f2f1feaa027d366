"""The timeline: what the desk writes, what people add, how it is paged and exported."""

import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

from accounts.actions import Author
from incidents.actions.following import follow_open
from incidents.actions.nagging import nag
from incidents.controls import What, Where, end_control, set_control
from incidents.models import Delivery, Incident, IncidentImage, TimelineEntry
from tests.incident import SCRIPT, declared, picture, url_of
from tests.traffic import record
from usage.changes import record_change
from usage.rollups import drain

pytestmark = pytest.mark.django_db


def told(incident: Incident, kind: str) -> list[str]:
    return list(incident.timeline.filter(kind=kind).order_by("at").values_list("text", flat=True))


def control(cast, **where):
    return set_control(
        author=Author(user=cast.olu), where=Where(team=cast.support, **where), what=What("breaker"), reason="Stop it"
    )


def test_controls_that_touch_the_slice_and_changes_write_themselves_once(cast):
    incident = declared(cast, scope={"provider": ["openai"]})
    one = control(cast, provider="openai")
    control(cast, provider="anthropic")
    before = timezone.now() - timedelta(hours=1)
    record_change(team=cast.support, at=before, kind="deploy", title="answers 1.4")
    record_change(team=cast.search, at=before, kind="deploy", title="search 9")
    follow_open(timezone.now())
    end_control(author=Author(user=cast.olu), control=one, reason="Well again")
    assert (follow_open(timezone.now()), follow_open(timezone.now())) == (1, 0)
    assert told(incident, "change") == ["Deploy: answers 1.4"]
    set_text, ended = told(incident, "mitigation")
    assert set_text.endswith("is in force (Olu: Stop it)")
    assert ended.endswith("ended (Olu: Well again)")


def test_a_note_is_written_and_struck_out_by_its_author_only(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "note"), {"text": "It is the cache"})
    entry = incident.timeline.get(kind="note")
    client.force_login(cast.mia)
    client.post(url_of(incident, "strike", entry.pk))
    entry.refresh_from_db()
    assert entry.struck_at is None
    client.force_login(cast.olu)
    client.post(url_of(incident, "strike", entry.pk))
    page = client.get(url_of(incident)).content.decode()
    assert "<s>It is the cache</s>" in page


def test_who_may_not_work_it_any_more_strikes_nothing_out(client, cast):
    incident = declared(cast)
    TimelineEntry.objects.create(incident=incident, kind="note", text="Mine", at=timezone.now(), author=cast.vera)
    client.force_login(cast.vera)
    assert client.post(url_of(incident, "strike", incident.timeline.get(kind="note").pk)).status_code == 403
    assert incident.timeline.get(kind="note").struck_at is None


def test_what_the_desk_wrote_cannot_be_struck_out(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "strike", incident.timeline.get().pk))
    assert incident.timeline.get().struck_at is None


@pytest.mark.parametrize("text", ["", "   ", "\0"])
def test_an_empty_note_is_refused(client, cast, text):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "note"), {"text": text})
    assert not incident.timeline.filter(kind="note").exists()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_an_image_is_encoded_anew_and_served_to_who_sees_the_incident(client, cast, kind):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "note"), {"text": SCRIPT, "image": picture(kind)})
    entry = incident.timeline.get(kind="evidence")
    client.force_login(cast.vera)
    response = client.get(url_of(incident, "image", entry.pk))
    assert response["Content-Type"] in ("image/png", "image/jpeg")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    client.force_login(cast.stan)
    assert client.get(url_of(incident, "image", entry.pk)).status_code == 404


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.svg", SVG), ("x.png", SVG), ("x.png", b"<html>"), ("x.png", b"\x89PNG\r\n\x1a\nbroken"), ("x.gif", b"")],
    ids=["svg", "svg-as-png", "html", "broken", "empty"],
)
def test_what_is_no_picture_is_refused_and_nothing_is_kept(client, cast, name, content):
    incident = declared(cast)
    client.force_login(cast.olu)
    response = client.post(url_of(incident, "note"), {"text": "Look here", "image": SimpleUploadedFile(name, content)})
    page = response.content.decode()
    assert response.status_code == 400
    assert "no image the desk reads" in page
    assert ">Look here</textarea>" in page
    assert not IncidentImage.objects.exists()


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client, cast, monkeypatch):
    monkeypatch.setattr("incidents.images.MOST_PIXELS", 100)
    incident = declared(cast)
    client.force_login(cast.olu)
    page = client.post(url_of(incident, "note"), {"image": picture(size=(20, 20))})
    assert "million pixels" in page.content.decode()


def test_a_large_picture_is_made_smaller_and_loses_its_metadata(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    client.post(url_of(incident, "note"), {"image": picture("JPEG", (3000, 30))})
    image = IncidentImage.objects.get()
    assert (image.width, image.content_type) == (2400, "image/jpeg")
    assert b"Exif" not in bytes(image.content)
    assert Image.MAX_IMAGE_PIXELS


@pytest.mark.django_db(transaction=True)
def test_a_pinned_chart_keeps_its_data_when_later_events_change_the_figure(client, cast):
    at = timezone.now() - timedelta(minutes=8)
    incident = declared(cast)
    record(cast.support, at, 3, status="error", error_type="timeout")
    drain()
    client.force_login(cast.olu)
    client.post(url_of(incident, "pin"), {"metric": "errors", "breakdown": "feature", "title": "Failures"})
    entry = incident.timeline.get(kind="evidence")
    frozen = entry.data["chart"]
    record(cast.support, at, 5, status="error", error_type="timeout")
    drain()
    page = client.get(url_of(incident, "evidence", entry.pk)).content.decode()
    assert "Failures" in page
    assert [value for _, value in frozen["series"][0]["points"] if value not in (None, "0")] == ["3"]
    entry.refresh_from_db()
    assert entry.data["chart"] == frozen


def test_a_figure_that_is_not_kept_by_tenant_is_refused_with_words(client, cast):
    incident = declared(cast, scope={"region": ["eu"]})
    client.force_login(cast.olu)
    page = client.post(url_of(incident, "pin"), {"metric": "errors", "breakdown": "tenant"}, follow=True)
    assert "not kept by region" in page.content.decode()


def many(incident: Incident, number: int) -> None:
    start = timezone.now() - timedelta(hours=5)
    TimelineEntry.objects.bulk_create(
        TimelineEntry(incident=incident, at=start + timedelta(seconds=n // 3), kind="note", text=f"Entry {n}")
        for n in range(number)
    )


def test_five_thousand_entries_are_paged_by_key_and_all_are_reached(client, cast, django_assert_max_num_queries):
    incident = declared(cast)
    many(incident, 5000)
    client.force_login(cast.vera)
    with django_assert_max_num_queries(45):
        page = client.get(url_of(incident))
    assert len(page.content) < 200_000
    seen, before = [], ""
    while True:
        found = client.get(url_of(incident, "entries"), {"before": before}, headers={"HX-Request": "true"}).context[
            "page"
        ]
        seen += [entry.pk for entry in found.entries]
        if not (before := found.older):
            break
    assert len(seen) == len(set(seen)) == 5001


def test_the_timeline_is_exported_whole_as_json_and_markdown(client, cast):
    incident = declared(cast, title=f"Fails {SCRIPT}")
    many(incident, 120)
    client.force_login(cast.vera)
    body = json.loads(client.get(url_of(incident, "export", "json")).content)
    assert (len(body["timeline"]), body["severity"], body["acknowledged_at"]) == (121, "SEV2", None)
    text = client.get(url_of(incident, "export", "md")).content.decode()
    assert text.count("| Note |") == 120
    assert "<script>" not in text
    assert client.get(url_of(incident, "export", "exe")).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_who_is_hit_and_the_cost_so_far_come_from_the_metric_query(client, cast):
    now = timezone.now()
    incident = declared(cast, impact_started_at=now - timedelta(minutes=30))
    for days, number in ((0, 4), (7, 2), (14, 1)):
        record(cast.support, now - timedelta(days=days, minutes=15), number, tenant="acme")
    record(cast.support, now - timedelta(minutes=15), 4, status="error", error_type="timeout", tenant="globex")
    drain()
    client.force_login(cast.vera)
    response = client.get(url_of(incident, "impact"), headers={"HX-Request": "true"})
    impact = response.context["impact"]
    assert (impact.requests, impact.failed) == (8, 4)
    assert [(title, [hit.name for hit in hits]) for title, hits in impact.groups] == [
        ("Features", ["answers"]),
        ("Tenants", ["globex"]),
    ]
    one = impact.cost.spent / 8 if impact.cost.unknown_calls == 0 else impact.cost.spent / 4
    assert impact.cost.usual == one * 3 / 2
    assert impact.cost.extra == impact.cost.spent - impact.cost.usual


@pytest.mark.django_db(transaction=True)
def test_every_part_answers_alone_and_as_a_page(client, cast):
    incident = declared(cast)
    record(cast.support, timezone.now() - timedelta(minutes=5), 20, status="error", error_type="timeout")
    drain()
    client.force_login(cast.vera)
    for name in ("now", "entries", "impact", "changes"):
        whole = client.get(url_of(incident, name))
        assert (whole.status_code, whole.content.count(b"<h1")) == (200, 1)
        part = client.get(url_of(incident, name), headers={"HX-Request": "true"})
        assert (part.status_code, b"<html" in part.content) == (200, False)


def test_an_overdue_update_is_nagged_for_once_each_half_hour(cast):
    now = timezone.now()
    incident = declared(cast)
    Incident.objects.update(next_update_at=now - timedelta(minutes=1))
    assert [nag(now), nag(now), nag(now + timedelta(minutes=31))] == [1, 0, 1]
    assert [text.rpartition(" is ")[2] for text in told(incident, "state")] == ["due", "32 min overdue"]
    assert not Delivery.objects.exists()  # no channel is set up


def test_no_address_on_a_timeline_runs_in_the_page(client, cast):
    incident = declared(cast)
    TimelineEntry.objects.create(
        incident=incident, at=timezone.now(), kind="change", text="x", url="javascript:alert(1)"
    )
    client.force_login(cast.vera)
    assert "javascript:" not in client.get(url_of(incident)).content.decode()
