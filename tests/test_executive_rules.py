"""Sentences and risks of the executive view."""

from decimal import Decimal

from aiops_site.executive.rules import (
    Proxy,
    Reliability,
    Slice,
    Spend,
    quality,
    reliability,
    risk,
    risks,
    spend,
)


def part(**values) -> Slice:
    whole = {
        "team": "support", "feature": "answers", "provider": "openai", "cost_center": "CC-1", "requests": 0,
        "errors": 0, "calls": 100, "fallbacks": 0, "unpriced": 0, "cost": Decimal(10),
    }  # fmt: skip
    return Slice(**whole | values)


def titles(now, before=()) -> list[str]:
    return [found.title for found in risks(list(now), list(before))]


SPREAD = [part(provider="openai"), part(provider="google", team="search")]


def test_spread_priced_tagged_spend_is_no_risk():
    assert risks(SPREAD, []) == []
    assert risk([]).number == "No risk"


def test_most_spend_with_one_provider_is_owned_by_its_largest_user():
    (found,) = risks([part(cost=Decimal(9), team="coding"), part(cost=Decimal(3), provider="google")], [])
    assert (found.title, found.team, found.filters) == ("One provider: openai", "coding", (("provider", "openai"),))


def test_calls_without_a_price_and_spend_without_a_tag_are_said():
    bare = part(provider="google", cost=Decimal(2), cost_center="", unpriced=5)
    assert titles([*SPREAD, bare]) == ["Spend without a cost centre", "Spend that is not counted"]


def test_a_feature_leans_on_fallbacks_only_beyond_chance():
    assert "answers leans on fallbacks" in titles([part(calls=1000, fallbacks=100), SPREAD[1]])
    assert titles([part(calls=40, fallbacks=1), SPREAD[1]]) == []


def test_a_feature_that_fails_more_than_before_counts_double():
    now, before = part(requests=1000, errors=80), part(requests=1000, errors=10)
    (found,) = risks([now, SPREAD[1]], [before])
    assert found.title == "answers fails more often"
    assert found.weight == 0.16
    assert titles([now, SPREAD[1]], [part(requests=1000, errors=78)]) == []


def test_all_cost_unknown_divides_nothing():
    assert titles([part(cost=None, unpriced=100)]) == ["Spend that is not counted"]


def test_reliability_names_the_worst_day():
    said = reliability(Reliability(0.985, 0.99, 2000, 30, ("3 March", 0.91)))
    assert said.number == "98 %"
    assert said.after == (
        "of 2k requests were answered, 0.5 points worse than in the period before; 30 failed."
        " The worst day was 3 March with 91 %."
    )


def test_no_traffic_is_no_availability():
    assert reliability(Reliability(None, None, 0, 0, None)).number == "No requests"


def test_spend_names_the_driver_and_what_is_not_in_it():
    said = spend(Spend(Decimal(150), Decimal(100), "March", "February", ("Support · answers", Decimal(40)), 12))
    assert said.number == "$150.00"
    assert said.after == (
        "spent in March so far, $50.00 (50 %) more than in the same days of February, mostly Support · answers"
        " (+$40.00). 12 calls have no price and are not in it."
    )


def test_spend_without_a_month_before_compares_with_nothing():
    said = spend(Spend(Decimal(150), None, "March", "February", ("Support · answers", Decimal(90)), 0))
    assert "there is no spend in the same days of February to compare with" in said.after


def test_unknown_spend_is_not_zero():
    assert spend(Spend(None, None, "March", "February", None, 12)).number == "unknown"


def test_quality_says_what_surely_got_worse_and_not_what_may_be_chance():
    steady = Proxy("of thumbs are up", "up", 0.80, 100, 0.82, 100)
    worse = Proxy("of answers cite a source", "up", 0.70, 1000, 0.90, 1000)
    better = Proxy("of tool calls fail", "down", 0.01, 1000, 0.10, 1000)
    assert quality([steady]).after == "of thumbs are up; no quality signal changed beyond chance."
    said = quality([steady, better, worse])
    assert said.number == "70 %"
    assert said.after.startswith("of answers cite a source, 90 % in the period before. Better: 1.0 % of tool calls")
    assert quality([]).number == "No signal"
