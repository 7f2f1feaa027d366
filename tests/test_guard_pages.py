"""The guard's page and the pages of rate limits."""

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.demo import create_demo_teams
from accounts.models import AuditEntry, Membership, Role
from budgets.demo import create_demo_budgets
from budgets.guard.demo import create_demo_reservations
from budgets.models import RateLimit
from tests.cast import make_key, make_user
from tests.guard import ask, make_budget, reserve, reserve_at

pytestmark = pytest.mark.django_db


def page(client, user, name="guard-list", **query) -> str:
    client.force_login(user)
    answered = client.get(reverse(name), query)
    assert answered.status_code == 200
    return answered.content.decode()


def test_before_anybody_asked_the_page_shows_how_to_ask(client, cast):
    shown = page(client, cast.vera)
    assert "Nobody has asked yet" in shown and "/api/v1/guard/reserve" in shown


def test_open_reservations_are_listed_with_team_key_and_estimate(client, cast, support_key):
    reserve(client, support_key, feature="answers", tenant="acme")
    shown = page(client, cast.vera)
    assert all(text in shown for text in ("answers", "acme", "Support AI", "gpt-4o", "$0.0035"))


def test_denials_are_counted_by_budget_and_reason(client, cast, support_key):
    budget = make_budget(cast.support, "0.000001", name="tight")
    for _ in range(3):
        reserve(client, support_key)
    shown = page(client, cast.vera)
    assert "Budget used up" in shown and reverse("budget-detail", args=[budget.pk]) in shown
    assert "3 calls</strong> denied" in shown


def test_over_runs_are_shown_with_what_they_cost(client, cast, support_key):
    held = reserve(client, support_key)
    ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.5")
    assert "Cost more than reserved" in page(client, cast.vera)


def test_a_stranger_sees_nothing_of_it(client, cast, support_key):
    make_budget(cast.support, "0.000001", name="tight")
    reserve(client, support_key)
    shown = page(client, cast.stan)
    assert "tight" not in shown and "Support AI" not in shown


def test_a_denial_by_the_organisations_budget_does_not_name_it_to_a_team(client, cast, support_key):
    make_budget(None, "0.000001", name="whole company")
    reserve(client, support_key)
    assert "whole company" not in page(client, cast.vera)


def test_the_page_asks_as_often_however_many_reservations(client, cast, django_assert_max_num_queries):
    key, _ = make_key(cast.support)
    for _ in range(3):
        reserve_at(key, timezone.now())
    page(client, cast.vera)
    for _ in range(40):
        reserve_at(key, timezone.now())
    client.force_login(cast.vera)
    with django_assert_max_num_queries(30):
        client.get(reverse("guard-list"))


# --- Rate limits -----------------------------------------------------------------------------------------------------
def test_an_operator_adds_a_limit_and_the_guard_follows(client, cast, support_key):
    client.force_login(cast.olu)
    sent = {"name": "front door", "team": cast.support.pk, "requests_per_minute": "1", "feature": "answers"}
    assert client.post(reverse("rate-limit-add"), sent).status_code == 302
    assert [reserve(client, support_key, feature="answers")["decision"] for _ in range(2)] == ["allow", "deny"]
    assert "front door" in page(client, cast.vera, "rate-limit-list")
    assert AuditEntry.objects.filter(action="rate_limit.added").count() == 1


def test_a_limit_that_limits_nothing_is_refused(client, cast):
    client.force_login(cast.olu)
    answered = client.post(reverse("rate-limit-add"), {"name": "nothing", "team": cast.support.pk})
    assert answered.status_code == 200 and "Give at least one limit" in answered.content.decode()


def test_a_limit_of_zero_is_refused(client, cast):
    client.force_login(cast.olu)
    answered = client.post(reverse("rate-limit-add"), {"name": "zero", "team": cast.support.pk, "concurrency": "0"})
    assert "at least 1" in answered.content.decode() and not RateLimit.objects.exists()


def test_a_name_is_given_once(client, cast):
    client.force_login(cast.olu)
    sent = {"name": "front door", "team": cast.support.pk, "concurrency": "5"}
    client.post(reverse("rate-limit-add"), sent)
    assert "of this name" in client.post(reverse("rate-limit-add"), sent).content.decode()


def test_ending_a_limit_needs_a_reason_and_lets_calls_through(client, cast, support_key):
    limit = RateLimit.objects.create(team=cast.support, name="front door", requests_per_minute=1)
    reserve(client, support_key)
    client.force_login(cast.olu)
    client.post(reverse("rate-limit-end", args=[limit.pk]), {"reason": " "})
    assert reserve(client, support_key)["decision"] == "deny"
    client.post(reverse("rate-limit-end", args=[limit.pk]), {"reason": "launch is over"})
    assert reserve(client, support_key)["decision"] == "allow"
    assert AuditEntry.objects.get(action="rate_limit.ended").reason == "launch is over"


@pytest.mark.parametrize(("who", "status"), [("vera", 403), ("stan", 404)])
def test_only_those_who_may_set_controls_end_limits(client, cast, who, status):
    limit = RateLimit.objects.create(team=cast.support, name="front door", requests_per_minute=1)
    client.force_login(getattr(cast, who))
    assert client.post(reverse("rate-limit-end", args=[limit.pk]), {"reason": "x"}).status_code == status


def test_ending_a_limit_is_offered_to_those_only_who_may(client, cast):
    oda = make_user("oda", Role.OPERATOR, cast.support)
    Membership.objects.create(user=oda, team=cast.search, role=Role.VIEWER)
    mine = RateLimit.objects.create(team=cast.support, name="mine", requests_per_minute=1)
    theirs = RateLimit.objects.create(team=cast.search, name="theirs", requests_per_minute=1)
    shown = page(client, oda, "rate-limit-list")
    assert "theirs" in shown and reverse("rate-limit-end", args=[mine.pk]) in shown
    assert reverse("rate-limit-end", args=[theirs.pk]) not in shown


def test_an_operator_of_one_team_cannot_limit_all_of_them(client, cast):
    client.force_login(cast.olu)
    answered = client.post(reverse("rate-limit-add"), {"name": "all", "team": "", "concurrency": "5"})
    assert answered.status_code == 200 and not RateLimit.objects.exists()


def test_the_demo_has_reservations_that_say_something_once(client, cast):
    create_demo_teams()
    now = timezone.now()
    create_demo_budgets(now)
    assert create_demo_reservations(now) > 0
    assert create_demo_reservations(now) == 0
    shown = page(client, cast.ada)
    assert all(text in shown for text in ("demo gateway", "Requests per minute", "Cost more than reserved"))
