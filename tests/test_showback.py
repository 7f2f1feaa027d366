"""Showback pages: own and shared cost add up to the spend, untagged spend leads to a rule, rules come and go."""

import csv
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from budgets.models import SharedCost
from budgets.queries.showback import untagged
from budgets.rules.showback import Bearer, shares_of, split
from tests.traffic import record
from usage.metrics import MetricQuery, query
from usage.models import AttributionRule
from usage.rollups import drain

NOW = timezone.now()
MONTH = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
amounts = st.decimals(0, 10**6, places=12)


@given(amounts, st.lists(st.decimals(0, 10**6, places=12), min_size=1, max_size=9).filter(any))
def test_the_parts_of_a_split_sum_to_the_whole(amount, weights):
    parts = split(amount, {str(number): weight for number, weight in enumerate(weights)})
    assert sum(parts.values()) == amount
    assert all(part >= 0 for part in parts.values())


@given(st.lists(st.tuples(amounts, st.integers(0, 99), st.sampled_from(["", "even", "spend", "requests"])), max_size=8))
def test_sharing_moves_cost_and_makes_none(groups):
    bearers = [Bearer(str(number), *group) for number, group in enumerate(groups)]
    assert sum(shares_of(bearers).values()) == 0


def test_a_cost_that_nobody_else_can_bear_stays():
    assert shares_of([Bearer("platform", Decimal(5), 1, "spend")]) == {"platform": 0}


@pytest.mark.parametrize(("method", "parts"), [("even", ("3", "3")), ("spend", ("2", "4")), ("requests", ("4", "2"))])
def test_each_method_splits_its_way(method, parts):
    shared = [Bearer("a", Decimal(1), 2), Bearer("b", Decimal(2), 1), Bearer("p", Decimal(6), 9, method)]
    assert shares_of(shared) == {"a": Decimal(parts[0]), "b": Decimal(parts[1]), "p": -6}


@pytest.fixture
def traffic(cast):
    at = max(NOW - timedelta(hours=1), MONTH)
    record(cast.support, at, 3, cost_center="CC-1", input_tokens=1_003, tenant="acme")
    record(cast.support, at, 2, feature=None, service="shop", input_tokens=2_011)
    record(cast.search, at, 1, cost_center="platform", input_tokens=777)
    drain()


def lines(client, by: str) -> list[dict[str, str]]:
    answer = client.get(reverse("attribution-csv"), {"by": by})
    return list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))


@pytest.mark.parametrize("by", ["team", "feature", "tenant", "cost_center"])
def test_totals_add_up_to_the_spend_with_and_without_a_shared_group(client, cast, traffic, by):
    client.force_login(cast.fatima)
    spend = query(MetricQuery(("cost_usd",), MONTH, NOW + timedelta(minutes=1))).value("cost_usd")
    assert sum(Decimal(line["total_usd"]) for line in lines(client, by)) == spend
    SharedCost.objects.create(dimension=by, value=lines(client, by)[0][by], method="spend")
    shared = lines(client, by)
    assert sum(Decimal(line["total_usd"]) for line in shared) == spend
    assert sum(Decimal(line["shared_usd"]) for line in shared) == 0


def test_a_shared_cost_centre_is_borne_by_the_others(client, cast, traffic):
    client.force_login(cast.fatima)
    data = {"dimension": "cost_center", "value": "platform", "method": "even"}
    assert client.post(reverse("shared-set"), data, follow=True).status_code == 200
    found = {line["cost_center"]: line for line in lines(client, "cost_center")}
    assert Decimal(found["platform"]["total_usd"]) == 0
    assert Decimal(found["CC-1"]["shared_usd"]) == Decimal(found["platform"]["own_usd"]) / 2
    page = client.get(reverse("attribution"), {"by": "cost_center"}).content.decode()
    assert "shared out evenly" in page
    client.post(reverse("shared-remove", args=[SharedCost.objects.get().pk]))
    assert SharedCost.objects.count() == 0


def test_a_shared_group_with_calls_of_unknown_cost_bears_nothing_in_the_end(client, cast, traffic):
    record(cast.search, max(NOW - timedelta(hours=1), MONTH), 1, cost_center="platform", provider="own", model="house")
    drain()
    SharedCost.objects.create(dimension="cost_center", value="platform", method="even")
    client.force_login(cast.fatima)
    page = client.get(reverse("attribution"), {"by": "cost_center"}).content.decode()
    row = next(part for part in page.split("<tr>") if "shared out" in part)
    own, shared, total = re.findall(r'data-exact title="([^"]*)"', row)[:3]
    assert (shared, total) == (f"−{own}", "$0")


def test_who_sees_some_teams_only_gets_no_split_over_others(client, cast, traffic):
    SharedCost.objects.create(dimension="team", value="search", method="even")
    client.force_login(cast.vera)
    assert [line["shared_usd"] for line in lines(client, "team")] == ["0"]
    assert b"You see some of them" in client.get(reverse("attribution")).content


def test_untagged_spend_is_shown_and_leads_to_a_rule(client, cast, traffic):
    client.force_login(cast.fatima)
    assert reverse("attribution-untagged") in client.get(reverse("attribution")).content.decode()
    part = client.get(reverse("attribution-untagged")).content.decode()
    assert "has no feature" in part and "assign it by a rule" in part
    spent = untagged((cast.support.pk, cast.search.pk), MONTH, NOW + timedelta(minutes=1))
    one_by_one = {
        name: query(MetricQuery(("cost_usd",), MONTH, NOW, team_ids=None, filters={name: ("",)})).value("cost_usd")
        for name in ("feature", "tenant", "cost_center")
    }
    assert {name: figures.known for name, figures in spent.items()} == one_by_one


RULE = {"service": "shop", "set_feature": "basket", "only_untagged": "on", "position": "100"}


def test_a_rule_is_tried_added_and_ended(client, cast, traffic):
    client.force_login(cast.fatima)
    tried = client.post(reverse("attribution-preview"), RULE).content.decode()
    assert "2 events" in tried and "basket" in tried
    assert AttributionRule.objects.count() == 0
    client.post(reverse("attribution-rules"), RULE)
    drain()
    assert {line["feature"] for line in lines(client, "feature")} == {"answers", "basket"}
    assert "basket" in client.get(reverse("attribution-rules")).content.decode()
    client.post(reverse("attribution-end", args=[AttributionRule.objects.get().pk]))
    drain()
    assert {line["feature"] for line in lines(client, "feature")} == {"answers", "(none)"}


def test_a_rule_without_a_condition_says_so(client, cast):
    client.force_login(cast.fatima)
    page = client.post(reverse("attribution-rules"), {"set_feature": "x", "position": "1"}).content.decode()
    assert "Give at least one condition" in page


def test_rules_of_another_team_are_neither_seen_nor_ended(client, cast):
    rule = AttributionRule.objects.create(team=cast.search, service="s", set_feature="x")
    client.force_login(cast.tara)
    assert str(rule) not in client.get(reverse("attribution-rules")).content.decode()
    assert client.post(reverse("attribution-end", args=[rule.pk])).status_code == 404


def test_a_viewer_can_neither_split_nor_rule(client, cast):
    client.force_login(cast.vera)
    assert client.post(reverse("shared-set"), {}).status_code == 403
    assert client.post(reverse("attribution-rules"), RULE).status_code == 403
    assert client.post(reverse("attribution-preview"), RULE).status_code == 403


def test_a_bad_month_is_said_and_the_current_one_shown(client, cast):
    client.force_login(cast.fatima)
    assert "is not a month" in client.get(reverse("attribution"), {"month": "soon"}).content.decode()
    assert client.get(reverse("attribution-csv"), {"month": "soon"}).status_code == 400
