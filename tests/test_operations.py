"""The weekly operations review: its week, its figures, and decisions that are not lost."""

import html
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from aiops_site.operations.rules import Line, Week, largest, trend, week_of
from incidents.actions.incidents import declare_incident
from incidents.actions.reviews import decide
from incidents.models import ReviewDecision
from tests.traffic import record
from usage.rollups import drain

NOW = datetime(2026, 11, 21, 11, tzinfo=UTC)
DAY = timedelta(days=1)


# --- Weeks ----------------------------------------------------------------------------------------------------------
def test_a_week_goes_from_monday_to_monday_utc():
    week = Week(date(2026, 11, 16))
    assert (week.name, week.label) == ("2026-W47", "16 November to 22 November 2026")
    assert (week.start, week.end) == (datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    assert (week.before.name, week.after.name) == ("2026-W46", "2026-W48")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2026-W47", "2026-W47"),
        ("2025-W01", "2025-W01"),
        ("", "2026-W46"),
        ("2026-W48", "2026-W46"),
        ("2026-W54", "2026-W46"),
        ("1999-W01", "2026-W46"),
        ("2026-11-16", "2026-W46"),
        ("9" * 50, "2026-W46"),
    ],
)
def test_the_week_asked_for_or_the_last_whole_one(text, name):
    assert week_of(text, NOW).name == name


def test_the_largest_leave_out_what_is_unknown_or_nothing():
    pairs = [(("a",), Decimal(1)), (("b",), None), (("c",), Decimal(3)), (("d",), 0)]
    found = largest(pairs, {("c",): Decimal(2)}, 5, "/of/{0[0]}".format)
    assert found == [Line(("c",), Decimal(3), Decimal(2), "/of/c"), Line(("a",), Decimal(1), None, "/of/a")]


def test_a_trend_is_a_sentence():
    said = trend("Error rate", Decimal("0.008"), Decimal("0.005"), "%", (NOW, Decimal("0.019")))
    assert said == "Error rate 0.8 %, 0.5 % the week before; worst on Saturday with 1.9 %"
    assert trend("Error rate", None, None, "%", None) == "Error rate: nothing to judge in this week"


# --- The page -------------------------------------------------------------------------------------------------------
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def week() -> Week:
    """The last whole one."""
    return week_of("", timezone.now())


@pytest.fixture
def traffic(cast, week):
    record(cast.support, week.start + DAY, 90, retry_count=1, tenant="acme")
    record(cast.support, week.start + 2 * DAY, 10, status="error", error_type="timeout", feature="drafts")
    record(cast.support, week.before.start + DAY, 50)
    drain()


def page(client, user, query="", status=200) -> str:
    client.force_login(user)
    answer = client.get(f"/operations/{query}")
    assert answer.status_code == status
    return answer.content.decode()


def test_it_shows_the_week_beside_the_week_before(client, cast, traffic, week):
    text = page(client, cast.vera)
    assert f"Operations review {week.name}" in text
    assert "Support AI" in text
    assert "Error rate 10 %, 0.0 % the week before; worst on Wednesday with 100 %" in text
    assert "drafts" in text
    assert "timeout" in text
    assert "acme" in text
    assert ">90<" in text
    assert "The guard denied and degraded nothing." in text


def test_figures_lead_to_the_events_behind_them(client, cast, traffic):
    text = page(client, cast.vera)
    links = {html.unescape(link) for link in re.findall(r'href="(/events/[^"]+)"', text)}
    (failed,) = (link for link in links if "feature=drafts" in link)
    assert "10 events" in counted(client, failed) and "timeout" in failed
    (retried,) = (link for link in links if "retried=1" in link and "provider=" in link)
    assert "50 events or more" in counted(client, retried)


def counted(client, url) -> str:
    """How many events its first page shows."""
    answer = client.get(url)
    found = answer.context["events"]
    return f"{len(found)} events{' or more' if answer.context['older_url'] else ''}"


def test_it_lists_incidents_of_the_week_but_no_drills(client, cast, traffic, week):
    at = week.start + DAY
    facts = {"author": Author(user=cast.olu), "team": cast.support, "severity": 2, "at": at}
    declare_incident(**facts, title="Answers failed")
    declare_incident(**facts, title="Game day", is_drill=True)
    text = page(client, cast.vera)
    assert "Answers failed" in text
    assert "Game day" not in text
    assert "Answers failed" not in page(client, cast.vera, f"?week={week.before.name}")


def test_the_running_week_is_compared_with_as_much_of_the_week_before(client, cast, traffic, week):
    text = page(client, cast.vera, f"?week={week.after.name}")
    assert "The week still runs" in text
    assert "Week after" not in text


def test_another_team_is_not_found(client, cast):
    page(client, cast.vera, "?team=search", 404)
    assert "Organisation, " in page(client, cast.emil)


def test_who_has_no_role_reads_no_decision_of_the_organisation(client, cast, week):
    facts = {"author": Author(user=cast.ada), "team": None, "week": week.monday, "section": "spend"}
    decide(**facts, text="Cap everything", version=0)
    assert "Cap everything" in page(client, cast.emil)
    assert "Cap everything" not in page(client, cast.newcomer)
    assert "Cap everything" not in page(client, cast.vera)


def decided(client, user, week, **more):
    client.force_login(user)
    posted = {"week": week.name, "team": "support", "section": "spend", "text": "Nothing to do", "version": "0"}
    return client.post("/operations/decide/", posted | more)


def test_a_team_with_a_nul_in_its_name_is_not_found(client, cast, week):
    assert decided(client, cast.olu, week, team="no\0where").status_code == 404


def test_a_decision_is_kept_with_its_week_and_shown_the_week_after(client, cast, traffic, week):
    assert decided(client, cast.olu, week.before, text="Olu caps drafts by Friday").status_code == 302
    assert "Olu caps drafts by Friday" in page(client, cast.vera, f"?week={week.before.name}")
    assert "The week before: Olu caps drafts by Friday" in page(client, cast.vera)
    (entry,) = AuditEntry.objects.filter(action="review.decide")
    assert (entry.team, entry.after) == (cast.support, {"text": "Olu caps drafts by Friday"})


def test_of_two_who_write_at_once_the_second_is_shown_both(client, cast, week):
    decided(client, cast.olu, week, text="First")
    answer = decided(client, cast.mia, week, text="Second")
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "Somebody wrote here while you did" in text
    assert "First" in text
    assert "Second</textarea>" in text
    assert ReviewDecision.objects.get().text == "First"
    assert decided(client, cast.mia, week, text="Second", version="1").status_code == 302
    assert ReviewDecision.objects.get().text == "Second"


def test_a_decision_can_be_taken_back_and_the_log_keeps_it(cast, week):
    facts = {"author": Author(user=cast.olu), "team": None, "week": week.monday, "section": "spend"}
    decide(**facts, text="Cap it", version=0)
    decide(**facts, text="", version=1)
    decide(**facts, text="", version=2)
    with pytest.raises(ValidationError):
        decide(**facts, text="Late", version=1)
    found = AuditEntry.objects.filter(action="review.decide").order_by("id")
    assert [one.before for one in found] == [None, {"text": "Cap it"}]


def test_viewers_decide_nothing_and_strangers_find_nothing(client, cast, week):
    assert decided(client, cast.vera, week).status_code == 403
    assert decided(client, cast.stan, week).status_code == 404
    assert decided(client, cast.olu, week, team="").status_code in (302, 403)
    assert not ReviewDecision.objects.filter(team=None).exists()


def test_markup_in_a_decision_stays_text(client, cast, week):
    decided(client, cast.olu, week, text="<script>alert(1)</script>\nsecond line")
    text = page(client, cast.vera)
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;<br>second line" in text
