"""The optimisation backlog: suggestions with their arithmetic, accepting freezes it, editing is audited."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from budgets.models import BacklogItem
from budgets.queries.suggested import suggested
from budgets.rules.suggest import Slice, suggestions
from tests.traffic import record
from usage.pricing.rates import build_rate
from usage.rollups import drain

NOW = timezone.now()
DEAR = build_rate(input={-1: Decimal(10)}, cached={-1: Decimal(1)}, output={-1: Decimal(20)})
CHEAP = build_rate(input={-1: Decimal(1)}, output={-1: Decimal(2)})
# 1,000 calls of 4,000 input tokens and 100 output tokens: 40 + 2 USD.
PART = Slice("support", "chat", "acme", "big", 1_000, 4_000_000, 0, 1_000_000, 100_000, 0, Decimal(42), DEAR)
ITEM = {
    "team": "support",
    "idea": "Shorter prompts",
    "monthly_saving": "120",
    "effort_weeks": "0.5",
    "quality_risk": "low",
    "state": "idea",
    "owner": "Mia",
}


def kinds(slices: list[Slice], days: int = 30) -> dict:
    return {one.key.split("|")[0]: one for one in suggestions(slices, days)}


# --- Arithmetic -----------------------------------------------------------------------------------------------------
def test_a_long_uncached_prompt_saves_what_caching_its_stable_part_would():
    # (4M − 1M retrieved) × 80 % = 2.4M tokens at 10 − 1 USD per million.
    assert kinds([PART])["cache"].saving == Decimal("21.60")


def test_a_well_cached_or_short_prompt_is_left_alone():
    assert "cache" not in kinds([replace(PART, cached=3_000_000)])
    assert "cache" not in kinds([replace(PART, input=1_000_000, context=0)])


def test_short_answers_are_priced_on_a_much_cheaper_model_of_the_same_provider():
    small = replace(PART, model="small", feature="x", rate=CHEAP, cost=Decimal("4.2"))
    found = kinds([PART, small])["smaller"]
    # The same tokens: 4M × 1 + 0.1M × 2 USD per million.
    assert found.saving == Decimal("42") - Decimal("4.2") and "small" in found.idea
    assert "smaller" not in kinds([PART, replace(small, provider="other")])
    assert "smaller" not in kinds([replace(PART, output=400_000), small])


def test_retries_cost_at_most_a_call_each():
    assert kinds([replace(PART, retries=50)])["retries"].saving == Decimal("2.10")
    assert "retries" not in kinds([replace(PART, retries=5)])


def test_savings_are_of_a_month_and_the_best_return_comes_first():
    found = suggestions([replace(PART, retries=500)], 15)
    assert [one.key.split("|")[0] for one in found] == ["cache", "retries"]
    assert found[0].saving == Decimal("43.20")
    assert found[0].roi == found[0].saving / Decimal("0.5")


def test_every_suggestion_shows_its_arithmetic_down_to_the_saving():
    for one in suggestions([replace(PART, retries=500)], 30):
        assert len(one.arithmetic) >= 3 and one.arithmetic[-1][0] == "Saving a month"


# --- Pages ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def traffic(cast):
    for number in range(8):
        at = NOW - timedelta(days=2, minutes=number)
        record(cast.support, at, 20, input_tokens=90_000, cached_input_tokens=0, output_tokens=400)
    drain()


def test_a_suggestion_is_accepted_once_with_its_arithmetic_frozen(client, cast, traffic):
    client.force_login(cast.fatima)
    (idea, *_) = suggested([cast.support], NOW)
    page = client.get(reverse("backlog-list")).content.decode()
    assert "Cache the prompt of answers on gpt-4o" in page
    for _ in range(2):
        client.post(reverse("backlog-accept"), {"team": "support", "key": idea.key})
    item = BacklogItem.objects.get()
    assert item.arithmetic == idea.arithmetic and item.monthly_saving == idea.saving
    assert idea.key not in {one.key for one in suggested([cast.support], NOW)}
    assert "Arithmetic when it was accepted" in client.get(reverse("backlog-edit", args=[item.pk])).content.decode()


@pytest.mark.django_db
def test_slices_with_unknown_costs_suggest_nothing(cast):
    record(cast.support, NOW - timedelta(days=1), 50, provider="own", model="house", input_tokens=90_000)
    drain()
    assert suggested([cast.support], NOW) == []


def test_items_are_added_edited_removed_and_audited(client, cast):
    client.force_login(cast.fatima)
    client.post(reverse("backlog-add"), ITEM)
    item = BacklogItem.objects.get()
    assert item.roi == 240
    client.post(reverse("backlog-edit", args=[item.pk]), ITEM | {"state": "doing"})
    client.post(reverse("backlog-remove", args=[item.pk]))
    actions = AuditEntry.objects.filter(action__startswith="backlog.").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["backlog.added", "backlog.edited", "backlog.removed"]
    assert not BacklogItem.objects.exists()


def test_items_are_sorted_by_return(client, cast):
    for idea, saving, weeks in (("slow", 100, 10), ("quick", 50, 1)):
        BacklogItem.objects.create(team=cast.support, idea=idea, monthly_saving=saving, effort_weeks=weeks)
    client.force_login(cast.fatima)
    page = client.get(reverse("backlog-list")).content.decode()
    assert page.index("quick") < page.index("slow")
    assert client.get(reverse("backlog-csv")).content.decode().count("\r\n") == 3


def test_no_effort_is_refused_with_the_fix(client, cast):
    client.force_login(cast.fatima)
    page = client.post(reverse("backlog-add"), ITEM | {"effort_weeks": "0"}).content.decode()
    assert "Say more than 0" in page and not BacklogItem.objects.exists()


def test_a_stranger_gets_404_and_a_viewer_403(client, cast):
    item = BacklogItem.objects.create(team=cast.search, idea="x", monthly_saving=1, effort_weeks=1)
    client.force_login(cast.tara)
    assert client.get(reverse("backlog-edit", args=[item.pk])).status_code == 404
    client.force_login(cast.vera)
    assert client.get(reverse("backlog-add")).status_code == 403
    assert client.post(reverse("backlog-accept"), {"team": "support", "key": "x"}).status_code == 403
    assert client.post(reverse("backlog-accept"), {"team": "a\0", "key": "x"}).status_code == 404


def test_an_item_that_cannot_be_is_not_found(client, cast):
    client.force_login(cast.fatima)
    assert client.get(reverse("backlog-edit", args=[2**70])).status_code == 404
