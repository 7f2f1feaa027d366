"""Postmortems: started with facts, edited without loss, published by two, exported, found, and what comes of items."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.demo import create_demo_people
from accounts.models import AuditEntry, Team
from incidents.actions.action_items import add_item, ask_for_monitor, edit_item, facts, make_step, move_item, remind
from incidents.actions.incidents import declare_incident, move_incident
from incidents.actions.postmortems import (
    Outdated,
    edit_postmortem,
    lacking,
    publish,
    revise,
    send_back,
    start_postmortem,
    submit,
)
from incidents.demo_postmortems import create_demo_postmortems
from incidents.models import (
    ActionItem,
    AlertRule,
    Channel,
    Delivery,
    Incident,
    NotificationRoute,
    Postmortem,
    Runbook,
    RunbookSection,
)
from incidents.pdf import pdf_of
from incidents.queries.postmortems import document_of, search, similar_to, trends, visible_postmortems
from incidents.rules.blocks import blocks_of
from incidents.rules.drawing import svg_of
from incidents.rules.export import markdown_of
from incidents.rules.postmortems import SECTIONS, blaming, depth, missing, outline, read_outline
from incidents.rules.reminders import is_due, words
from incidents.rules.similar import likeness, overlap
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
TEXTS = {name: f"About {title}" for name, title, _ in SECTIONS}
WHYS = "- It failed\n  - No failover order\n    - Nobody asked for one\n  - Retries"


def incident(cast, **more) -> Incident:
    facts = {"team": cast.support, "title": "OpenAI fails", "severity": 2, "at": NOW, "failure_mode": "provider"}
    facts |= {"impact_started_at": NOW - timedelta(minutes=10), "scope": {"provider": ["openai"]}}
    return declare_incident(author=Author(user=cast.olu), **facts | more)


def resolved(cast, **more) -> Incident:
    found = incident(cast, **more)
    at = found.detected_at + timedelta(minutes=30)
    return move_incident(author=Author(user=cast.olu), incident=found, to="resolved", at=at)


def started(cast, **more) -> Postmortem:
    return start_postmortem(author=Author(user=cast.olu), incident=resolved(cast, **more), at=NOW + timedelta(hours=2))


def write(cast, postmortem: Postmortem, base: int, **more) -> Postmortem:
    values = {"title": postmortem.title, "recovered_at": None, "whys": read_outline(WHYS)} | TEXTS | more
    return edit_postmortem(author=Author(user=cast.olu), postmortem=postmortem, base=base, values=values)


def item(cast, postmortem: Postmortem, **more) -> ActionItem:
    values = {"kind": "prevent", "text": "Set a failover order", "measure": "Drill under 5 min", "owner": cast.mia}
    return add_item(
        author=Author(user=cast.olu), postmortem=postmortem, values=values | {"due": date(2026, 4, 1)} | more
    )


def published(cast, **more) -> Postmortem:
    postmortem = started(cast, **more)
    write(cast, postmortem, 1)
    item(cast, postmortem)
    submit(author=Author(user=cast.olu), postmortem=postmortem, at=NOW)
    publish(author=Author(user=cast.mia), postmortem=postmortem, at=NOW + timedelta(days=1))
    postmortem.refresh_from_db()
    return postmortem


# --- Rules --------------------------------------------------------------------------------------------------------
def test_whys_are_an_outline_that_branches():
    tree = read_outline(WHYS)
    assert depth(tree) == 3 and [why["text"] for why in tree[0]["because"]] == ["No failover order", "Retries"]
    assert read_outline(outline(tree)) == tree


@pytest.mark.parametrize(
    "text", ["\n".join(f"{'  ' * n}- why" for n in range(9)), "- why\n" * 61], ids=["deep", "long"]
)
def test_whys_without_end_are_refused(text):
    with pytest.raises(ValueError, match=r"levels deep|At most"):
        read_outline(text)


def test_what_is_missing_is_said_one_by_one():
    whole = [{"text": "Do", "owner": 1, "due": NOW, "measure": "x"}]
    assert missing(TEXTS, read_outline(WHYS), whole) == []
    lacks = missing(TEXTS | {"impact": " "}, [], [whole[0] | {"owner": None, "measure": ""}])
    assert lacks == [
        "“Impact” is empty.",
        "The whys stop at the first: ask at least once more, under it.",
        "“Do” has no owner and no measure.",
    ]
    assert missing(TEXTS, read_outline(WHYS), []) == ["There is no action item."]


def test_words_that_look_for_a_culprit_are_hinted_at():
    found = blaming(TEXTS | {"root_cause": "Olu should have noticed; it was human error."}, [])
    assert found == [("Root cause", "should have noticed"), ("Root cause", "human error")]


@pytest.mark.parametrize(
    ("today", "reminded", "due"),
    [
        ("2026-03-28", None, False),
        ("2026-03-30", None, True),
        ("2026-03-31", "2026-03-30", False),
        ("2026-04-02", "2026-03-30", True),
        ("2026-04-05", "2026-04-02", False),
        ("2026-04-09", "2026-04-02", True),
    ],
)
def test_owners_are_reminded_ahead_then_weekly(today, reminded, due):
    last = date.fromisoformat(reminded) if reminded else None
    assert is_due(date(2026, 4, 1), last, date.fromisoformat(today)) is due


def test_a_reminder_says_how_late_it_is():
    day = date(2026, 4, 1)
    said = [words("Do", day, day + timedelta(days=late)).partition(":")[0] for late in (-2, -1, 0, 1, 9)]
    assert said == ["Due in 2 days", "Due tomorrow", "Due today", "Overdue by 1 day", "Overdue by 9 days"]


def test_likeness_counts_mode_slice_and_words():
    assert overlap({"model": ["a", "b"]}, {"model": ["b"], "region": ["eu"]}) == pytest.approx(1 / 3)
    assert overlap({}, {"model": ["b"]}) == 0
    assert (likeness(True, 1, 1), likeness(False, 0, 0)) == (pytest.approx(1), 0)


# --- Facts --------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_it_starts_with_figures_charts_and_times_of_the_incident(cast):
    now = timezone.now().replace(second=0, microsecond=0)
    record(cast.support, now - timedelta(minutes=55), 3, status="error", error_type="provider_5xx", tenant="acme")
    record(cast.support, now - timedelta(minutes=54), 1, tenant="acme")
    drain()
    postmortem = started(cast, at=now - timedelta(minutes=50), impact_started_at=now - timedelta(hours=1))
    numbers = {label: (value, note) for label, value, note in postmortem.facts["numbers"]}
    assert numbers["Failed model calls"] == ("3", "0 a week earlier")
    assert numbers["Error rate"][0] == "75 %" and numbers["Tenants with failed requests"] == ("1", "most: acme (3)")
    assert postmortem.impact.startswith("3 of 4 requests failed (75 %).")
    chart = postmortem.facts["charts"][0]
    assert chart["metric"] == "call_error_rate" and "%" in chart["title"]
    assert postmortem.facts["clocks"][0] == ["TTD", "to detect", 600.0]
    kinds = [kind for _, kind, _, _ in postmortem.facts["timeline"]]
    assert kinds[0] == "Declared" and "State" in kinds


def test_it_is_started_once(cast):
    found = resolved(cast)
    both = [start_postmortem(author=Author(user=who), incident=found, at=NOW).pk for who in (cast.olu, cast.mia)]
    assert len(set(both)) == 1 and found.timeline.filter(text="The postmortem is started").count() == 1


# --- Review and publishing ----------------------------------------------------------------------------------------
def test_it_is_not_submitted_while_something_is_missing(cast):
    postmortem = started(cast)
    with pytest.raises(ValidationError) as caught:
        submit(author=Author(user=cast.olu), postmortem=postmortem, at=NOW)
    assert "“Summary” is empty." in caught.value.messages and "There is no action item." in caught.value.messages
    postmortem.refresh_from_db()
    assert postmortem.state == "draft"


def test_an_open_incident_is_not_learned_from(cast):
    postmortem = start_postmortem(author=Author(user=cast.olu), incident=incident(cast), at=NOW)
    assert lacking(postmortem)[0] == "The incident is not resolved yet."


def test_a_dropped_item_needs_no_measure(cast):
    postmortem = started(cast)
    write(cast, postmortem, 1)
    item(cast, postmortem)
    bare = item(cast, postmortem, measure="")
    postmortem.refresh_from_db()
    assert lacking(postmortem) == ["“Set a failover order” has no measure."]
    move_item(author=Author(user=cast.olu), item=bare, state="dropped", note="Twice", at=NOW)
    assert lacking(postmortem) == []


@pytest.mark.parametrize("who", ["olu", "mia"])
def test_a_second_person_signs_it_off(cast, who):
    postmortem = started(cast)
    write(cast, postmortem, 1)
    item(cast, postmortem)
    submit(author=Author(user=cast.mia), postmortem=postmortem, at=NOW)
    with pytest.raises(ValidationError, match="second person"):
        publish(author=Author(user=getattr(cast, who)), postmortem=postmortem, at=NOW)
    assert not postmortem.versions.exists()


def test_publishing_makes_a_version_and_the_incident_is_learned_from(cast):
    postmortem = published(cast)
    version = postmortem.versions.get()
    postmortem.incident.refresh_from_db()
    assert (postmortem.state, postmortem.incident.state, version.number) == ("published", "learned", 1)
    assert (version.author, version.reviewer) == (cast.olu, cast.mia)
    assert version.document["items"][0]["measure"] == "Drill under 5 min"
    actions = set(AuditEntry.objects.filter(action__startswith="postmortem").values_list("action", flat=True))
    assert actions == {"postmortem.started", "postmortem.edited", "postmortem.submitted", "postmortem.published"}


def test_what_is_published_never_changes(client, cast):
    postmortem = published(cast)
    with pytest.raises(ValidationError, match="Revise"):
        write(cast, postmortem, 2, summary="Other")
    revise(author=Author(user=cast.olu), postmortem=postmortem, at=NOW)
    write(cast, postmortem, 2, summary="Other words")
    client.force_login(cast.vera)
    old = client.get(reverse("postmortem-version", args=[postmortem.pk, 1])).content.decode()
    now = client.get(reverse("postmortem-detail", args=[postmortem.pk])).content.decode()
    assert "About Summary" in old and "Other words" not in old and "Other words" in now


def test_a_reviewer_sends_it_back_with_words(client, cast):
    postmortem = started(cast)
    write(cast, postmortem, 1)
    item(cast, postmortem)
    submit(author=Author(user=cast.olu), postmortem=postmortem, at=NOW)
    with pytest.raises(ValidationError, match="Say what"):
        send_back(author=Author(user=cast.mia), postmortem=postmortem, note=" ", at=NOW)
    client.force_login(cast.mia)
    client.post(reverse("postmortem-send-back", args=[postmortem.pk]), {"note": "Ask why twice more"})
    assert "Ask why twice more" in client.get(reverse("postmortem-detail", args=[postmortem.pk])).content.decode()


# --- Pages --------------------------------------------------------------------------------------------------------
def form(**more) -> dict:
    return {"title": "OpenAI fails", "base": 1, "whys": WHYS, "summary": "Ours"} | more


def test_the_way_from_the_incident_to_the_draft(client, cast):
    found = resolved(cast)
    client.force_login(cast.olu)
    assert "No postmortem of" in client.get(reverse("incident-postmortem", args=[found.pk])).content.decode()
    assert client.post(reverse("incident-postmortem", args=[found.pk])).url == reverse(
        "postmortem-detail", args=[Postmortem.objects.get().pk]
    )
    page = client.get(reverse("postmortem-detail", args=[Postmortem.objects.get().pk])).content.decode()
    assert page.count("<h1") == 1 and "“Summary” is empty." in page and "disabled" in page


def test_two_who_write_at_once_lose_nothing(client, cast):
    postmortem = started(cast)
    write(cast, postmortem, 1, summary="Hers")
    client.force_login(cast.mia)
    answer = client.post(reverse("postmortem-edit", args=[postmortem.pk]), form(summary="Mine, typed for an hour"))
    page = answer.content.decode()
    assert answer.status_code == 409 and "Mine, typed for an hour" in page and "Hers" in page
    assert (
        client.post(reverse("postmortem-edit", args=[postmortem.pk]), form(base=2, summary="Both")).status_code == 302
    )
    postmortem.refresh_from_db()
    assert (postmortem.summary, postmortem.version, postmortem.edited_by) == ("Both", 3, cast.mia)
    with pytest.raises(Outdated):
        write(cast, postmortem, 1)


def test_script_in_its_texts_is_text(client, cast):
    postmortem = started(cast, title="<script>alert(1)</script>")
    write(cast, postmortem, 1, summary="<img src=x onerror=alert(1)> [x](javascript:alert(1))")
    item(cast, postmortem, text="<b onclick=x>y</b>")
    client.force_login(cast.vera)
    page = client.get(reverse("postmortem-detail", args=[postmortem.pk])).content.decode()
    for bad in ("<script>alert", "<img src=x", "<b onclick", 'href="javascript'):
        assert bad not in page


def test_a_stranger_sees_none_of_it_and_a_viewer_writes_none(client, cast):
    postmortem = published(cast)
    thing = postmortem.items.get()
    client.force_login(cast.stan)
    for name in ("postmortem-detail", "postmortem-pdf", "postmortem-markdown", "postmortem-edit"):
        assert client.get(reverse(name, args=[postmortem.pk])).status_code == 404
    assert client.get(reverse("action-item", args=[thing.pk])).status_code == 404
    assert "OpenAI fails" not in client.get(reverse("postmortem-list")).content.decode()
    client.force_login(cast.vera)
    assert client.get(reverse("postmortem-edit", args=[postmortem.pk])).status_code == 403
    assert client.post(reverse("postmortem-revise", args=[postmortem.pk])).status_code == 403
    assert client.get(reverse("postmortem-detail", args=[postmortem.pk])).status_code == 200


def test_a_private_incidents_postmortem_is_private(client, cast):
    postmortem = started(cast, is_private=True)
    client.force_login(cast.mia)
    assert client.get(reverse("postmortem-detail", args=[postmortem.pk])).status_code == 404
    assert not visible_postmortems(cast.mia).exists()


# --- Library ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "hit"),
    [("failover", True), ("provid outage", True), ("drill minu", False), ("drill min", True), ("zebra", False)],
)
def test_search_reads_texts_items_and_failure_mode(cast, asked, hit):
    postmortem = published(cast)
    assert (postmortem.pk in search(visible_postmortems(cast.vera), asked)) is hit


def test_serious_incidents_without_one_are_listed(client, cast):
    resolved(cast, title="Nobody wrote one")
    resolved(cast, title="Small", severity=4)
    resolved(cast, title="Only a drill", is_drill=True)
    started(cast, title="Written")
    client.force_login(cast.vera)
    page = client.get(reverse("postmortem-list")).content.decode()
    listed = page[page.index("Without a postmortem") :]
    assert "Nobody wrote one" in listed and "late" in listed
    assert not any(title in listed for title in ("Small", "Only a drill", "Written"))


def test_the_library_asks_as_often_for_many_as_for_few(client, cast, django_assert_max_num_queries):
    for _ in range(2):
        item(cast, started(cast))
    client.force_login(cast.vera)
    client.get(reverse("postmortem-list"))
    with CaptureQueriesContext(connection) as few:
        client.get(reverse("postmortem-list"))
    for _ in range(5):
        item(cast, started(cast))
    with django_assert_max_num_queries(len(few)):
        client.get(reverse("postmortem-list"))


def test_an_incident_like_an_earlier_one_is_recognised(cast):
    before = resolved(cast, at=NOW - timedelta(days=30), title="OpenAI answers with 503")
    resolved(cast, at=NOW - timedelta(days=20), title="Index empty", failure_mode="retrieval", scope={"feature": ["a"]})
    resolved(cast, at=NOW - timedelta(days=10), title="OpenAI fails", is_drill=True)
    again = resolved(cast)
    (found,) = similar_to(cast.vera, again)
    assert found.incident == before and "same failure mode" in found.why and "100% of the slice" in found.why
    assert similar_to(cast.vera, before) == []


def test_trends_count_by_failure_mode_and_month(cast):
    resolved(cast)
    resolved(cast, at=NOW - timedelta(days=40), impact_started_at=NOW - timedelta(days=40))
    incident(cast, failure_mode="cost", is_drill=True)
    months, (trend,) = trends(cast.vera, NOW.date())
    assert months[-2:] == ["2026-02", "2026-03"] and trend.by_month[-3:] == [1, 0, 1]
    assert (trend.label, trend.to_mitigate) == ("Provider outage or degradation", 1800)


# --- Exports ------------------------------------------------------------------------------------------------------
def frozen() -> dict:
    points = [[(NOW + timedelta(minutes=n)).isoformat(), None if n == 3 else n / 10] for n in range(9)]
    marks = [[NOW.isoformat(), "impact <b>"]]
    return {
        "metric": "error_rate",
        "title": "80 % #x",
        "unit": "%",
        "step": "minute",
        "points": points,
        "before": points[:4],
    } | {"marks": marks}


def test_markdown_and_pdf_hold_the_whole_document(client, cast):
    postmortem = published(cast)
    client.force_login(cast.vera)
    text = client.get(reverse("postmortem-markdown", args=[postmortem.pk])).content.decode()
    for part in (
        "# INC-",
        "About Root cause",
        "  - No failover order",
        "| Set a failover order |",
        "signed off by Mia",
    ):
        assert part in text
    answer = client.get(reverse("postmortem-pdf", args=[postmortem.pk]))
    assert answer.content.startswith(b"%PDF-") and "postmortem-inc-" in answer["Content-Disposition"]
    assert client.get(reverse("postmortem-pdf", args=[postmortem.pk]), {"version": "9"}).status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        '#read("/etc/passwd")',
        "$ x $ #set page(width: 1pt)",
        "```\n#panic()\n```",
        "| a |\n|---|\n| #b |",
        "*a _b* [c](javascript:x)",
        "- a\n  - b\n\n> c\n\n---\n\n1. d",
        "\\ ] [ # @ < ~",
        "- " * 60 + "deep",
        "> " * 60 + "deep",
    ],
    ids=str,
)
def test_what_looks_like_typesetting_is_only_text_in_the_pdf(cast, text):
    postmortem = started(cast)
    postmortem.summary, postmortem.title = text, text[:50]
    postmortem.facts["charts"] = [frozen()]
    assert pdf_of(document_of(postmortem)).startswith(b"%PDF-")


def test_blocks_keep_what_markdown_means():
    (block,) = blocks_of("a **b** `c` [d](https://e.example)")
    assert [(run["text"], run["strong"], run["code"], run["link"]) for run in block["runs"]] == [
        ("a ", False, False, ""),
        ("b", True, False, ""),
        (" ", False, False, ""),
        ("c", False, True, ""),
        (" ", False, False, ""),
        ("d", False, False, "https://e.example"),
    ]


def test_a_chart_on_paper_has_gaps_and_no_markup_of_others():
    drawn = svg_of(frozen())
    assert drawn.count("<polyline") == 3 and "impact &lt;b&gt;" in drawn


def test_a_bar_in_a_text_does_not_break_the_table(cast):
    postmortem = started(cast)
    item(cast, postmortem, text="a | b")
    assert "| a \\| b |" in markdown_of(document_of(postmortem))


# --- Action items -------------------------------------------------------------------------------------------------
def test_an_item_becomes_a_step_of_a_runbook_and_says_so(client, cast):
    thing = item(cast, started(cast))
    client.force_login(cast.ada)
    client.post(reverse("action-item-step", args=[thing.pk]), {"runbook": "provider-outage", "kind": "mitigation"})
    thing.refresh_from_db()
    book = Runbook.objects.get(slug="provider-outage")
    assert thing.runbook_version.number == book.version == 2
    assert thing.runbook_version.sections["mitigation"].endswith("- [ ] Set a failover order")
    page = client.get(reverse("postmortem-detail", args=[thing.postmortem_id])).content.decode()
    assert "step in Provider outage, version 2" in page


def test_a_team_operator_adds_no_step_to_what_is_for_everybody(client, cast):
    thing = item(cast, started(cast))
    client.force_login(cast.olu)
    answer = client.post(
        reverse("action-item-step", args=[thing.pk]), {"runbook": "provider-outage", "kind": "mitigation"}
    )
    assert answer.status_code == 403


def test_the_rule_editor_opens_with_what_the_item_and_incident_say(client, cast):
    thing = item(cast, started(cast))
    thing.postmortem.facts["charts"] = [frozen() | {"metric": "call_error_rate"}]
    thing.postmortem.save()
    client.force_login(cast.mia)
    page = client.post(reverse("action-item-monitor", args=[thing.pk]), follow=True).content.decode()
    section = RunbookSection.objects.get(runbook__slug="provider-outage", kind="detection")
    assert 'value="Set a failover order"' in page and "provider = openai" in page
    for chosen in ("call_error_rate", section.pk, cast.support.pk):
        assert f'<option value="{chosen}" selected>' in page
    thing.refresh_from_db()
    assert thing.monitor_asked_at


def test_the_rule_made_for_an_item_is_offered_and_named(client, cast):
    thing = item(cast, started(cast))
    ask_for_monitor(author=Author(user=cast.olu), item=thing, at=timezone.now() - timedelta(minutes=5))
    section = RunbookSection.objects.get(runbook__slug="provider-outage", kind="detection")
    terms = {
        "kind": "threshold",
        "metric": "call_error_rate",
        "threshold": "0.05",
        "severity": "critical",
        "route": "page",
    }
    made = AlertRule.objects.create(
        slug="made", name=thing.text, team=cast.support, first_mitigation="Fail over", runbook_section=section, **terms
    )
    client.force_login(cast.olu)
    page = client.get(reverse("action-item", args=[thing.pk])).content.decode()
    assert f'value="{made.pk}" selected' in page and "Begun" in page
    client.post(reverse("action-item-rule", args=[thing.pk]), {"rule": made.pk})
    page = client.get(reverse("postmortem-detail", args=[thing.postmortem_id])).content.decode()
    assert f"monitor: {thing.text}" in page
    assert AuditEntry.objects.filter(action="action_item.rule_linked").count() == 1


def test_closing_needs_words_and_opens_again(cast):
    thing, author = item(cast, started(cast)), Author(user=cast.mia)
    with pytest.raises(ValidationError, match="Say what came"):
        move_item(author=author, item=thing, state="done", note="", at=NOW)
    done = move_item(author=author, item=thing, state="done", note="Drill: 4 min", at=NOW)
    assert done.closed_at == NOW
    assert move_item(author=author, item=thing, state="doing", note="", at=NOW).closed_at is None
    assert AuditEntry.objects.filter(action="action_item.moved").count() == 2


def test_two_who_change_an_item_lose_nothing(client, cast):
    thing = item(cast, started(cast))
    values = facts(thing) | {"owner": cast.mia, "due": date(2026, 5, 1)}
    edit_item(author=Author(user=cast.mia), item=thing, base=1, values=values)
    client.force_login(cast.olu)
    posted = {"text": "Other", "kind": "detect", "measure": "", "due": "", "owner": "", "base": 1}
    answer = client.post(reverse("action-item", args=[thing.pk]), posted)
    assert answer.status_code == 409 and "Other" in answer.content.decode()
    thing.refresh_from_db()
    assert (thing.text, thing.due) == ("Set a failover order", date(2026, 5, 1))


@pytest.mark.parametrize(
    ("name", "posted"),
    [
        ("action-item", {"text": "a", "kind": "detect", "due": "0001-01-01", "base": 1}),
        ("action-item", {"text": "", "kind": "detect", "base": 1}),
        ("action-item", {"text": "a", "kind": "sing", "base": "x"}),
        ("action-item", {"text": "a\0b", "kind": "detect", "base": 1}),
        ("postmortem-edit", {"title": "a", "base": 1, "recovered_at": "0001-01-01T00:00"}),
        ("postmortem-edit", {"title": "", "base": "", "whys": "x\n" * 99}),
        ("postmortem-edit", {"title": "a", "base": 1, "summary": "a" * 20_001}),
    ],
)
def test_bad_input_is_told_at_its_field_and_nothing_is_written(client, cast, name, posted):
    thing = item(cast, started(cast))
    client.force_login(cast.olu)
    pk = thing.pk if name == "action-item" else thing.postmortem_id
    page = client.post(reverse(name, args=[pk]), posted)
    assert page.status_code == 200 and "field-error" in page.content.decode()
    thing.refresh_from_db()
    assert (thing.version, thing.postmortem.version) == (1, 1)


def test_overdue_items_are_listed_with_their_owner(client, cast):
    postmortem = started(cast)
    item(cast, postmortem)
    item(cast, postmortem, text="Later", due=timezone.localdate() + timedelta(days=9), owner=cast.olu)
    client.force_login(cast.olu)
    late = client.get(reverse("action-list"), {"show": "overdue"}).content.decode()
    mine = client.get(reverse("action-list"), {"show": "mine"}).content.decode()
    assert "Set a failover order" in late and "Later" not in late and "<strong>1</strong> overdue" in late
    assert "Later" in mine and "Set a failover order" not in mine


def test_a_reminder_is_told_once_a_day_to_the_teams_channel(cast):
    channel = Channel.objects.create(team=cast.support, name="Ops", kind="webhook", signing_secret="x")
    NotificationRoute.objects.create(channel=channel, team=cast.support)
    item(cast, started(cast))
    days = [date(2026, 3, 28), date(2026, 3, 30), date(2026, 3, 30), date(2026, 4, 2), date(2026, 4, 3)]
    assert [remind(today=day, at=NOW) for day in days] == [0, 1, 0, 1, 0]
    titles = list(Delivery.objects.filter(kind="reminder").order_by("id").values_list("title", flat=True))
    assert titles == ["Due in 2 days: Set a failover order", "Overdue by 1 day: Set a failover order"]


def test_a_step_made_twice_is_two_versions(cast):
    thing = item(cast, started(cast))
    book = Runbook.objects.get(slug="latency")
    numbers = [make_step(author=Author(user=cast.ada), item=thing, book=book, kind="mitigation").number for _ in "ab"]
    assert numbers == [2, 3]


# --- The demo -----------------------------------------------------------------------------------------------------
def demo_incident(team, key: str, mode: str) -> None:
    at = timezone.now() - timedelta(days=4)
    facts = {"team": team, "title": key, "severity": 2, "at": at, "failure_mode": mode}
    facts |= {"source_kind": "demo", "source_key": f"demo:{key}"}
    made = declare_incident(author=Author(label="demo"), **facts)
    move_incident(author=Author(label="demo"), incident=made, to="resolved", at=at + timedelta(hours=1))


def test_the_demo_has_one_published_and_one_being_written(client, cast):
    create_demo_people()
    team = Team.objects.get(slug="coding", is_demo=True)
    demo_incident(team, "outage", "provider")
    demo_incident(team, "retrieval", "retrieval")
    assert [create_demo_postmortems(timezone.now()) for _ in "ab"] == [2, 0]
    assert sorted(Postmortem.objects.values_list("state", flat=True)) == ["draft", "published"]
    states = ActionItem.objects.filter(postmortem__state="published").values_list("state", flat=True)
    assert sorted(states) == ["done", "open", "open"]
    draft = Postmortem.objects.get(state="draft")
    assert "“Alert on empty retrievals of each feature that searches” has no due date and no measure." in lacking(draft)


def test_without_the_demos_incidents_there_are_no_demo_postmortems(cast):
    incident(cast)
    assert create_demo_postmortems(timezone.now()) == 0
