"""Drills: isolated telemetry through the ingest, callers that obey the guard, what is measured, and the pages."""

from datetime import timedelta
from random import Random

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from aiops_site.drills.calls import CALLERS, NOTHING_WRONG, Route, as_asked, request
from aiops_site.drills.traffic import CATCH_UP, inject
from incidents.actions import raise_alert
from incidents.actions.alerts import Raised, begin
from incidents.actions.drills import end_drill, observe, say_moment, start_drill
from incidents.actions.evaluation import evaluate
from incidents.actions.incidents import declare_incident
from incidents.controls import What, Where, in_force, set_control
from incidents.models import Alert, AlertRule, Control, Drill, FailureMode, Incident, Runbook, RunbookSection
from incidents.rules.drills import GOALS, SCENARIOS, score
from usage import partitions, rollups
from usage.ingest import series
from usage.measures import DRILL_ENVIRONMENT
from usage.metrics import MetricQuery, query

ASSISTANT, AGENT = CALLERS


def started(cast, scenario: str = "provider-outage", *, ago: timedelta = timedelta(minutes=8), **more) -> Drill:
    """A drill of team support that olu began some minutes ago, its fault six minutes old unless `ago` says else."""
    at = timezone.now() - ago
    facts = {"kind": "game_day", "lasts": timedelta(minutes=20), "is_blind": True} | more
    return start_drill(author=Author(user=cast.olu), team=cast.support, scenario=scenario, at=at, **facts)


def advance(drill: Drill) -> int:
    """Telemetry up to now, a stretch at a time as the task makes it, and rolled up."""
    series.forget(drill.team_id)
    now = timezone.now()
    partitions.ensure(now)
    made, until = 0, drill.injected_until or drill.started_at
    while until < now:
        until = min(until + CATCH_UP, now)
        made += inject(Drill.objects.select_related("team", "api_key").get(pk=drill.pk), until)
    rollups.drain()
    return made


def figures(drill: Drill, *metrics: str, group_by: tuple[str, ...] = (), since=None, **filters):
    """Of the drill's environment since the fault, unless filters say else."""
    asked = {name: (value,) for name, value in ({"environment": DRILL_ENVIRONMENT} | filters).items() if value}
    start, end = since or drill.fault_at, timezone.now()
    return query(MetricQuery(metrics, start, end, group_by=group_by, filters=asked, team_ids=(drill.team_id,)))


def control(cast, what: What, **where) -> Control:
    at = Where(team=cast.support, environment=DRILL_ENVIRONMENT, **where)
    return set_control(author=Author(user=cast.olu), where=at, what=what, reason="Drill: calls fail")


@pytest.mark.parametrize("key", sorted(SCENARIOS))
def test_every_scenario_names_a_failure_mode_and_a_runbook_that_ship(key, db):
    one = SCENARIOS[key]
    assert one.truth in FailureMode.values
    assert Runbook.objects.filter(slug=one.runbook).exists()
    assert one.cards


@pytest.mark.parametrize(
    ("minutes", "right", "points"),
    [
        ((1, 2, 3, 4), True, 100),
        ((1, 2, 3, 4), False, 75),
        ((1, 2, None, None), None, 50),
        ((9, 2, 3, 4), True, 88),
        ((11, 2, 3, 4), True, 75),
        ((None, None, None, None), None, 0),
    ],
)
def test_each_moment_within_its_goal_is_a_quarter_of_the_score(minutes, right, points):
    took = {name: timedelta(minutes=m) if m else None for name, m in zip(GOALS, minutes, strict=True)}
    assert score(took, right) == points


def test_a_denied_call_is_blocked_and_a_looping_agent_without_its_tool_asks_once():
    now = timezone.now()
    denied = request(Random(1), "k", ASSISTANT, now, NOTHING_WRONG, lambda _: Route("openai", "gpt-4o", denied=True))
    assert denied[0]["status"] == "blocked"
    loop = SCENARIOS["token-loop"].fault
    looping, cured = (
        request(Random(1), "k", AGENT, now, loop, ask)
        for ask in (as_asked, lambda _: Route("anthropic", "claude-sonnet-4-5", tools_off=("web_search",)))
    )
    chats = [sum(event["operation"] == "chat" for event in events) for events in (looping, cured)]
    assert chats == [10, 1]


@pytest.mark.django_db(transaction=True)
def test_telemetry_of_a_drill_is_in_no_figure_unless_its_environment_is_asked_for(cast):
    drill = started(cast)
    assert advance(drill) > 1_000
    assert figures(drill, "requests").value("requests") > 50
    everything = figures(drill, "requests", "cost_usd", since=drill.started_at - timedelta(hours=3), environment="")
    assert (everything.value("requests"), everything.value("cost_usd")) == (0, 0)
    by_environment = figures(drill, "requests", group_by=("environment",), environment="")
    assert by_environment.rows == []


@pytest.mark.django_db(transaction=True)
def test_the_fault_hits_what_it_names_and_leaves_the_rest_well(cast):
    drill = started(cast)
    advance(drill)
    rates = figures(drill, "call_error_rate", group_by=("provider",))
    assert rates.value("call_error_rate", ("openai",)) > 0.5
    assert rates.value("call_error_rate", ("anthropic",)) < 0.05
    before = query(
        MetricQuery(
            ("error_rate",),
            drill.started_at - timedelta(hours=1),
            drill.started_at - timedelta(minutes=1),
            filters={"environment": (DRILL_ENVIRONMENT,)},
            team_ids=(drill.team_id,),
        )
    )
    assert before.value("error_rate") < 0.05


@pytest.mark.django_db(transaction=True)
def test_the_simulated_callers_do_what_the_guard_says(cast):
    drill = started(cast)
    control(cast, What("breaker"), provider="openai")
    control(cast, What("failover", failover_order=["openai", "anthropic"]))
    advance(drill)
    drill.refresh_from_db()
    assert drill.moved_calls > 50
    assert figures(drill, "error_rate", feature="drill-assistant").value("error_rate") < 0.1
    models = figures(drill, "calls", group_by=("provider",), feature="drill-assistant")
    assert [row.key for row in models.rows if row.values["calls"]] == [("anthropic",)]


@pytest.mark.django_db(transaction=True)
def test_a_switch_over_retrieval_skips_it_and_answers_go_on(cast):
    drill = started(cast, "empty-retrieval")
    control(cast, What("kill_switch", tool_name="retrieval"))
    advance(drill)
    seen = figures(drill, "retrieval_checks", "calls", "error_rate", feature="drill-assistant")
    assert seen.value("retrieval_checks") == 0
    assert seen.value("calls") > 50
    assert seen.value("error_rate") < 0.1


def test_a_caller_keeps_to_the_tokens_the_guard_allows():
    route = Route("anthropic", "claude-sonnet-4-5", most_input=1_000, most_output=20)
    made = request(Random(1), "k", AGENT, timezone.now(), NOTHING_WRONG, lambda _: route)
    assert {(e["input_tokens"], e["output_tokens"]) for e in made if e["operation"] == "chat"} == {(1_000, 20)}


@pytest.mark.django_db(transaction=True)
def test_a_stretch_of_time_is_made_by_one_worker_only(cast):
    drill = started(cast)
    known = Drill.objects.select_related("team", "api_key").get(pk=drill.pk)
    partitions.ensure(timezone.now())
    series.forget(drill.team_id)
    now = timezone.now()
    assert inject(known, now) > 0
    assert inject(known, now) == 0  # the same old row again, as a worker that read it before would have it


@pytest.mark.django_db(transaction=True)
def test_rules_fire_on_a_drill_alone_and_its_incident_is_marked_and_not_named_for_people(cast):
    section = RunbookSection.objects.get(runbook__slug="provider-outage", kind="containment")
    AlertRule.objects.update(is_active=False)
    AlertRule.objects.create(
        slug="drilled",
        name="Error rate high",
        kind="threshold",
        metric="error_rate",
        threshold="0.2",
        window_seconds=300,
        severity="critical",
        route="page",
        first_mitigation="Fail over",
        runbook_section=section,
        options={"declare": 2},
    )
    drill = started(cast)
    advance(drill)
    assert evaluate(timezone.now()).begun == 1
    alert, incident = Alert.objects.get(), Incident.objects.get()
    assert (alert.team, alert.labels) == (cast.support, {"environment": "drill"})
    assert (incident.is_drill, incident.failure_mode, incident.scope) == (True, "", {"environment": ["drill"]})
    observe(drill, timezone.now())
    drill.refresh_from_db()
    assert (drill.incident, drill.classified_as) == (incident, "")


@pytest.mark.django_db
def test_what_people_did_is_measured_from_the_fault(cast):
    drill = started(cast)
    at = drill.fault_at
    raise_alert(
        source_kind="rule",
        source_key="x",
        team=cast.support,
        severity="critical",
        route="page",
        title="Error rate high",
        runbook="provider-outage#containment",
        at=at + timedelta(minutes=1),
        labels={"environment": DRILL_ENVIRONMENT},
    )
    incident = declare_incident(
        author=Author(user=cast.olu),
        team=cast.support,
        title="Errors",
        severity=2,
        at=at + timedelta(minutes=2),
        is_drill=True,
    )
    Incident.objects.filter(pk=incident.pk).update(acknowledged_at=at + timedelta(minutes=3), failure_mode="provider")
    control(cast, What("breaker"), provider="openai")
    observe(drill, at + timedelta(minutes=5))
    drill.refresh_from_db()
    assert (drill.incident, drill.detected_at) == (incident, at + timedelta(minutes=1))
    assert (drill.acknowledged_at, drill.classified_at) == (at + timedelta(minutes=3), at + timedelta(minutes=5))
    assert drill.classified_as == "provider"
    assert drill.mitigated_at is not None


@pytest.mark.django_db
def test_a_drill_is_detected_when_its_alert_fires_not_when_the_condition_began(cast):
    drill = started(cast)
    began, fires = (drill.fault_at + timedelta(minutes=number) for number in (1, 4))
    facts = {"source_kind": "rule", "source_key": "x", "severity": "critical", "route": "page", "title": "Errors"}
    facts |= {"runbook": "provider-outage#containment", "labels": {"environment": DRILL_ENVIRONMENT}}
    begin([Raised(team_id=cast.support.pk, at=began, **facts)], fires)
    observe(drill, fires)
    drill.refresh_from_db()
    assert drill.took("detected") == timedelta(minutes=4)


@pytest.mark.django_db
def test_the_end_revokes_the_key_ends_the_controls_and_comes_once(cast):
    drill = started(cast)
    control(cast, What("breaker"), provider="openai")
    assert end_drill(author=Author(user=cast.olu), drill=drill, at=timezone.now())
    drill.refresh_from_db()
    assert drill.api_key.revoked_at is not None
    assert not in_force(timezone.now()).exists()
    assert not end_drill(author=Author(user=cast.mia), drill=drill, at=timezone.now())
    assert AuditEntry.objects.filter(action="drill.ended").count() == 1


@pytest.mark.django_db
def test_a_team_has_one_game_day_at_a_time(cast):
    started(cast)
    with pytest.raises(ValidationError, match="runs already"):
        started(cast)
    started(cast, kind="tabletop")


@pytest.mark.django_db
def test_of_a_tabletop_each_moment_is_said_once(cast):
    drill = started(cast, kind="tabletop")
    author = Author(user=cast.olu)
    say_moment(author=author, drill=drill, moment="classified", at=timezone.now(), classified_as="provider")
    with pytest.raises(ValidationError, match="said before"):
        say_moment(author=author, drill=drill, moment="classified", at=timezone.now(), classified_as="cost")
    with pytest.raises(ValidationError, match="tabletop"):
        say_moment(author=author, drill=started(cast), moment="detected", at=timezone.now())


def open_page(client, user, name: str, *args) -> str:
    client.force_login(user)
    answered = client.get(reverse(name, args=args))
    assert answered.status_code == 200, answered.content
    return answered.content.decode()


@pytest.mark.django_db
def test_a_blind_drill_says_what_it_is_to_its_starter_only_until_it_ends(client, cast):
    drill = started(cast)
    title = SCENARIOS[drill.scenario].title
    assert title in open_page(client, cast.olu, "drill-detail", drill.pk)
    assert title not in open_page(client, cast.mia, "drill-detail", drill.pk)
    assert title not in open_page(client, cast.mia, "drill-list")
    end_drill(author=Author(user=cast.olu), drill=drill, at=timezone.now())
    assert title in open_page(client, cast.mia, "drill-detail", drill.pk)


@pytest.mark.django_db
def test_a_stranger_sees_no_drill_and_a_viewer_starts_none(client, cast):
    drill = started(cast)
    client.force_login(cast.stan)
    assert client.get(reverse("drill-detail", args=[drill.pk])).status_code == 404
    client.force_login(cast.vera)
    assert client.get(reverse("drill-start")).status_code == 403
    assert client.post(reverse("drill-end", args=[drill.pk])).status_code == 403


@pytest.mark.django_db
def test_notes_with_a_nul_are_kept_without_it(client, cast):
    drill = started(cast)
    client.force_login(cast.olu)
    client.post(reverse("drill-notes", args=[drill.pk]), {"notes": "We were\0 slow", "version": 1})
    drill.refresh_from_db()
    assert drill.notes == "We were slow"


@pytest.mark.django_db
def test_of_two_who_write_notes_at_once_the_second_is_shown_both(client, cast):
    drill = started(cast)
    end_drill(author=Author(user=cast.olu), drill=drill, at=timezone.now())
    client.force_login(cast.olu)
    url = reverse("drill-notes", args=[drill.pk])
    assert client.post(url, {"notes": "Page the <b>other</b> team too", "version": 1}).status_code == 302
    for version in ("1", ""):
        refused = client.post(url, {"notes": "Rehearse the failover", "version": version})
        text = refused.content.decode()
        assert refused.status_code == 409
        assert "Page the &lt;b&gt;other&lt;/b&gt; team too" in text and ">Rehearse the failover</textarea>" in text
    drill.refresh_from_db()
    assert drill.notes == "Page the <b>other</b> team too"
    assert client.post(url, {"notes": "Both", "version": drill.notes_version}).status_code == 302
    kept = AuditEntry.objects.filter(action="drill.notes").order_by("pk").values_list("after", flat=True)
    assert [one["notes"] for one in kept] == ["Page the <b>other</b> team too", "Both"]


def test_one_is_started_and_ended_from_the_pages(client, cast):
    client.force_login(cast.olu)
    values = {"team": cast.support.pk, "kind": "tabletop", "scenario": "latency", "lasts": "20"}
    client.post(reverse("drill-start"), values)
    drill = Drill.objects.get()
    assert "p95 latency alert" in open_page(client, cast.olu, "drill-detail", drill.pk)
    client.post(reverse("drill-say", args=[drill.pk]), {"moment": "detected"})
    client.post(reverse("drill-say", args=[drill.pk]), {"moment": "classified", "classified_as": "cost"})
    client.post(reverse("drill-end", args=[drill.pk]), {"how": "end"})
    page = open_page(client, cast.olu, "drill-detail", drill.pk)
    assert "25 of 100" in page
    assert "It was taken for cost runaway" in page
    refused = client.post(reverse("drill-start"), values | {"lasts": "99999"})
    assert refused.status_code == 200
    assert Drill.objects.count() == 1
