"""Texts and numbers that no form of ours sends: they are answered, never a 500."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.posted import text_of, whole_number
from budgets.actions import create_budget, give_grant
from budgets.facts import check
from budgets.models import Budget
from incidents.controls import What, Where, set_control
from tests.guard import ask, reserve

ODD_NUMBERS = ["²", "9" * 30, "9" * 5000, "-1", "1e3", "١"]
ODD_IDS = ["superscript", "30 digits", "5000 digits", "negative", "exponent", "arabic"]


@pytest.fixture
def budget(cast) -> Budget:
    draft = check({"name": "Support, monthly", "team": "support", "limit": "1000"}, teams=[cast.support])
    return create_budget(author=Author(user=cast.fatima), draft=draft)


@pytest.fixture
def fatima(client, cast):
    client.force_login(cast.fatima)
    return client


@pytest.mark.parametrize("text", ODD_NUMBERS, ids=ODD_IDS)
def test_a_whole_number_is_up_to_18_ascii_digits(text):
    assert whole_number(text) is None
    assert whole_number("9" * 18) == 10**18 - 1


def test_a_posted_text_has_no_nul_no_blanks_around_it_and_an_end():
    request = RequestFactory().post("/", {"reason": " a\0b " + "c" * 600})
    assert text_of(request, "reason") == "ab " + "c" * 497
    assert text_of(request, "note") == ""


@pytest.mark.parametrize("text", ODD_NUMBERS, ids=ODD_IDS)
def test_odd_numbers_of_revisions_budgets_and_pages_are_answered(fatima, budget, text):
    asked = {"base_version": "1", "revision": text}
    assert fatima.post(reverse("budget-undo", args=[budget.pk]), asked).status_code == 404
    assert fatima.post(reverse("budget-bulk"), {"budget": text, "percent": "5"}).status_code == 302
    for page in (f"{reverse('budget-list')}?page={text}", f"{reverse('alert-list')}?before={text}"):
        assert fatima.get(page).status_code == 200


def test_a_reason_with_a_nul_is_taken_without_it(client, cast, budget):
    control = set_control(
        author=Author(user=cast.ada), where=Where(team=cast.support), what=What("breaker"), reason="Leak"
    )
    now = timezone.now()
    until = now + timedelta(days=1)
    give_grant(
        author=Author(user=cast.ada), budget=budget, amount=Decimal(1), valid_from=now, expires_at=until, reason="Fair"
    )
    grant = budget.grants.get()
    client.force_login(cast.ada)
    client.post(reverse("control-end", args=[control.pk]), {"reason": "ov\0er"})
    client.post(reverse("budget-grant-revoke", args=[budget.pk, grant.pk]), {"reason": "ov\0er"})
    control.refresh_from_db()
    grant.refresh_from_db()
    assert control.ended_reason == "over"
    assert grant.revoked_at is not None


def test_a_table_with_a_nul_is_refused_by_line(fatima):
    answered = fatima.post(reverse("budget-import"), {"text": "name,limit,owner\nA,5,a\0@desk.example\n"})
    assert (answered.status_code, answered.context["errors"]) == (400, 1)


def test_a_confirmation_is_of_the_table_that_was_shown(fatima):
    shown = fatima.post(reverse("budget-import"), {"text": "name,limit,team\nNew,5,support\n"}).context["seen"]
    other = {"text": "name,limit,team\nNew,5000,support\n", "confirm": shown}
    answered = fatima.post(reverse("budget-import"), other)
    assert "Look at it again" in answered.content.decode()
    assert not Budget.objects.filter(name="New").exists()


@pytest.mark.parametrize("operation", ["reserve", "check", "settle"])
def test_a_cost_with_too_many_places_is_refused_by_name(client, support_key, budget, operation):
    named = {"reservation_id": reserve(client, support_key)["reservation_id"]} if operation == "settle" else {}
    body = named or {"model": "gpt-4o"}
    problem = ask(client, support_key, operation, expect=400, cost_usd="1e-999999", **body)["error"]
    assert (problem["code"], problem["field"]) == ("out_of_range", "cost_usd")
