"""Following a runbook: ticks with who and when, the timeline, figures of the incident's slice, what may not be."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.demo import create_demo_people
from accounts.models import AuditEntry, Team
from incidents.actions.incidents import declare_incident
from incidents.actions.runbook_runs import start_run
from incidents.actions.runbooks import create_runbook
from incidents.demo_runbooks import follow_demo_runbook
from incidents.models import Incident, Runbook, RunbookRun, SectionKind, StepTick
from incidents.queries.runbooks import listed
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db

STEPS = "- [ ] Look at {figure:call_error_rate} and [events](desk:/events/?{window}&{scope})\n- [ ] Act"


def incident(cast, **more) -> Incident:
    facts = {"team": cast.support, "title": "OpenAI fails", "severity": 2, "at": timezone.now()}
    facts |= {"scope": {"provider": ["openai"]}, "failure_mode": "provider"}
    return declare_incident(author=Author(user=cast.olu), **facts | more)


@pytest.fixture
def book(cast) -> Runbook:
    texts = dict.fromkeys(SectionKind.values, "") | {"detection": STEPS}
    facts = {"title": "Ours", "failure_mode": "provider", "sections": texts}
    return create_runbook(author=Author(user=cast.mia), team=cast.support, **facts)


def follow(client, cast, book, found: Incident | None) -> RunbookRun:
    client.force_login(cast.olu)
    client.post(reverse("runbook-start", args=[book.slug]), {"incident": found.pk if found else ""})
    return RunbookRun.objects.get()


def test_the_panel_offers_those_of_the_failure_mode_first(client, cast, book):
    found = incident(cast)
    client.force_login(cast.olu)
    page = client.get(reverse("incident-runbook", args=[found.pk])).content.decode()
    assert "Ours" in page and "Provider outage" in page
    assert page.index("Provider outage") < page.index("Cost spike")


def test_a_tick_says_who_and_when_and_is_on_the_timeline(client, cast, book):
    found = incident(cast)
    run = follow(client, cast, book, found)
    client.post(reverse("runbook-tick", args=[run.pk]), {"step": "detection:1"})
    tick = StepTick.objects.get()
    assert (tick.done_by, tick.text, tick.undone_at) == (cast.olu, "Look at and events", None)
    texts = list(found.timeline.filter(kind="runbook").values_list("text", flat=True))
    assert texts == ["Runbook Ours is being followed", "Done: Look at and events"]
    page = client.get(reverse("incident-runbook", args=[found.pk])).content.decode()
    assert 'aria-checked="true"' in page and "1 of 2 steps done" in page


def test_a_tick_can_be_taken_back_and_both_stay_on_record(client, cast, book):
    found = incident(cast)
    run = follow(client, cast, book, found)
    for done in ("1", "1", "0", "0"):
        client.post(reverse("runbook-tick", args=[run.pk]), {"step": "detection:2", "done": done})
    tick = StepTick.objects.get()
    assert tick.undone_by == cast.olu and tick.undone_at
    assert found.timeline.filter(kind="runbook").count() == 3
    assert AuditEntry.objects.filter(action__startswith="runbook.step").count() == 2


def test_htmx_gets_the_panel_and_others_the_page(client, cast, book):
    run = follow(client, cast, book, incident(cast))
    answer = client.post(
        reverse("runbook-tick", args=[run.pk]), {"step": "detection:1"}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 200 and "<html" not in answer.content.decode()
    answer = client.post(reverse("runbook-tick", args=[run.pk]), {"step": "detection:2"})
    assert answer.url.endswith("#detection2")


def test_two_who_start_it_follow_the_same_run(cast, book):
    found, now = incident(cast), timezone.now()
    runs = {start_run(author=Author(user=who), book=book, incident=found, at=now).pk for who in (cast.olu, cast.mia)}
    assert len(runs) == 1


def test_a_run_stays_with_its_version(client, cast, book):
    run = follow(client, cast, book, incident(cast))
    client.post(
        reverse("runbook-edit", args=[book.slug]),
        {"title": "Ours", "failure_mode": "provider", "base": 1, "detection": "- [ ] Something else"},
    )
    page = client.get(reverse("incident-runbook", args=[run.incident_id])).content.decode()
    assert "Act" in page and "Something else" not in page and "is newer" in page


@pytest.mark.django_db(transaction=True)
def test_figures_are_those_of_the_incidents_slice_and_window(client, cast, book):
    now = timezone.now()
    record(cast.support, now - timedelta(minutes=5), 4, provider="openai", status="error", error_type="provider_5xx")
    record(cast.support, now - timedelta(minutes=5), 4, provider="anthropic", model="claude-sonnet-4")
    record(cast.support, now - timedelta(minutes=50), 4, provider="openai")
    drain()
    found = incident(cast, impact_started_at=now - timedelta(minutes=40))
    follow(client, cast, book, found)
    page = client.get(reverse("incident-runbook", args=[found.pk])).content.decode()
    assert "<b>100 %</b>" in page and "before 0.0 %" in page
    assert "provider=openai" in page and "team=support" in page and "from=" in page


def test_without_an_incident_it_is_followed_by_its_team(client, cast, book):
    run = follow(client, cast, book, None)
    assert run.team == cast.support
    page = client.get(reverse("runbook-run", args=[run.pk])).content.decode()
    assert "range=1h" in page
    client.post(reverse("runbook-finish", args=[run.pk]))
    run.refresh_from_db()
    assert run.finished_at
    assert client.post(reverse("runbook-tick", args=[run.pk]), {"step": "detection:1"}).status_code == 404
    client.force_login(cast.stan)
    assert client.get(reverse("runbook-run", args=[run.pk])).status_code == 404


def test_who_may_only_look_sees_the_ticks_and_sets_none(client, cast, book):
    run = follow(client, cast, book, incident(cast))
    client.force_login(cast.vera)
    page = client.get(reverse("incident-runbook", args=[run.incident_id])).content.decode()
    assert "Look at" in page and '<button class="box"' not in page
    assert client.post(reverse("runbook-tick", args=[run.pk]), {"step": "detection:1"}).status_code == 403
    assert client.post(reverse("runbook-start", args=[book.slug])).status_code == 403


def test_a_step_that_is_not_there_is_not_ticked(client, cast, book):
    run = follow(client, cast, book, incident(cast))
    assert client.post(reverse("runbook-tick", args=[run.pk]), {"step": "detection:9"}).status_code == 404


def test_a_private_incidents_runbook_is_private(client, cast, book):
    found = incident(cast, is_private=True)
    run = follow(client, cast, book, found)
    client.force_login(cast.mia)
    assert client.get(reverse("incident-runbook", args=[found.pk])).status_code == 404
    assert client.get(reverse("runbook-run", args=[run.pk])).status_code == 404


def test_last_used_and_last_drilled_are_told_apart(cast, book):
    author, now = Author(user=cast.olu), timezone.now()
    start_run(author=author, book=book, incident=incident(cast), at=now - timedelta(days=1))
    start_run(author=author, book=book, incident=incident(cast, is_drill=True), at=now)
    row = listed(Runbook.objects.filter(pk=book.pk)).get()
    assert (row.last_used, row.last_drilled) == (now - timedelta(days=1), now)


@pytest.mark.django_db(transaction=True)
def test_what_the_caller_saw_is_read_of_all_requests_of_a_provider_slice(client, cast):
    now = timezone.now()
    entry = {"provider": None, "model": None, "operation": "invoke_agent", "input_tokens": None, "output_tokens": None}
    record(cast.support, now - timedelta(minutes=5), 3, status="error", **entry, cached_input_tokens=None)
    drain()
    found = incident(cast, impact_started_at=now - timedelta(minutes=40))
    follow(client, cast, Runbook.objects.get(slug="provider-outage"), found)
    page = client.get(reverse("incident-runbook", args=[found.pk])).content.decode()
    assert "Error rate of all providers and models</span> <b>100 %</b>" in page


def test_the_demos_outage_was_worked_by_its_runbook(cast):
    create_demo_people()
    found = incident(cast, source_kind="demo", source_key="demo:outage")
    assert follow_demo_runbook() == 0, "an incident of a team that is no demo"
    Team.objects.filter(pk=cast.support.pk).update(is_demo=True)
    assert [follow_demo_runbook() for _ in "ab"] == [13, 0]
    run = found.runbook_runs.get()
    assert run.finished_at and run.ticks.first().done_by.email == "oncall@demo.example"
