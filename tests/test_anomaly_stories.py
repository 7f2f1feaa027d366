"""The stories planted in the demo are found within two hours of their onset, and next to nothing beside them."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

import pytest

from budgets.rules.episode import HOUR, Hour, Tracker, Watched
from usage.demo import stories
from usage.demo.cast import FEATURES
from usage.demo.hours import events_of_hour
from usage.measures import MODEL_OPERATIONS
from usage.pricing.book import Book
from usage.pricing.rates import Tokens, price_call

END = datetime(2026, 3, 20, 14, tzinfo=UTC)
HOURS = [END - back * HOUR for back in range(30 * 24, 0, -1)]
LEAST_USD = Decimal("0.05")
CATALOGUE = Book(0, [])


@cache
def slices_of(feature_name: str) -> dict[str, dict[datetime, Hour]]:
    """Model → hour → figures of thirty days of the demo's traffic; "" holds the stages without a model."""
    feature = next(feature for feature in FEATURES if feature.name == feature_name)
    sums: dict[tuple[str, datetime], Counter] = defaultdict(Counter)
    for hour in HOURS:
        for event in events_of_hour(hour, END, feature=feature):
            at = datetime.fromisoformat(event["occurred_at"]).replace(minute=0, second=0, microsecond=0)
            sums[event.get("model", ""), at].update(figures(event))
    found: dict[str, dict[datetime, Hour]] = defaultdict(dict)
    for (model, at), sum_ in sums.items():
        found[model][at] = Hour(
            at=at, cost=Decimal(sum_["cost"]), calls=sum_["calls"], requests=sum_["requests"],
            refusals=sum_["refusals"], tokens=sum_["tokens"], failures=sum_["failures"],
            empty_retrievals=sum_["empty"],
        )  # fmt: skip
    return found


def figures(event: dict) -> dict:
    """What one event adds to its hour."""
    is_call = event["operation"] in MODEL_OPERATIONS
    return {
        "requests": "parent_span_id" not in event,
        "calls": is_call,
        "failures": is_call and event["status"] == "error",
        "tokens": event.get("input_tokens", 0) + event.get("output_tokens", 0),
        "refusals": bool(event.get("refused")),
        "empty": event.get("documents") == 0,
        "cost": cost(event) if is_call else 0,
    }


def cost(event: dict) -> Decimal:
    """In USD by the catalogue; 0 for what it has no price for, which changes nothing here."""
    at = datetime.fromisoformat(event["occurred_at"])
    rate = CATALOGUE.rate(1, event["provider"], event["model"], "", "", at, event.get("response_model", ""))
    tokens = Tokens(*(event.get(f"{name}_tokens") for name in ("input", "output", "cached_input", "cache_write")))
    return Decimal(price_call(rate, tokens)[1] or 0)


def found_in(feature: str, model: str, metric: Watched) -> list[datetime]:
    """When anomalies of a series began."""
    tracker, hours, begun = Tracker(metric, LEAST_USD), slices_of(feature)[model], []
    for at in HOURS:
        episode = tracker.step(at, hours.get(at, Hour(at, Decimal(0), 0, 0, 0, 0, 0, 0)))
        begun += [episode.started_at] if episode and episode.started_at not in begun else []
    return begun


def series() -> list[tuple[str, str, Watched]]:
    """Every feature, model and metric of the demo that ever had a figure."""
    return [
        (feature.name, model, metric)
        for feature in FEATURES
        for model, hours in sorted(slices_of(feature.name).items())
        for metric in Watched
        if any(hour.value(metric) for hour in hours.values())
    ]


@pytest.mark.parametrize(
    ("story", "feature", "model", "metric"),
    [
        (stories.BLOAT, "answer-drafting", "claude-sonnet-4-5", Watched.TOKENS_PER_CALL),
        (stories.BLOAT, "answer-drafting", "claude-sonnet-4-5", Watched.COST_PER_CALL),
        (stories.RETRIEVAL, "answer-box", "", Watched.EMPTY_RETRIEVALS),
        (stories.RETRIEVAL, "site-search", "", Watched.EMPTY_RETRIEVALS),
        (stories.OUTAGE, "ticket-triage", "gpt-4o-mini", Watched.FAILURES),
        (stories.OUTAGE, "answer-drafting", "gpt-4o", Watched.FAILURES),
    ],
    ids=lambda value: getattr(value, "key", value),
)
def test_a_story_is_found_within_two_hours(story, feature, model, metric):
    start = story.span(END)[0]
    assert any(start - HOUR < at <= start + 2 * HOUR for at in found_in(feature, model, metric))


def test_a_series_has_at_most_one_false_alarm_in_a_month():
    """All series of the demo; each feature's own rhythm, cast of models and noise."""
    told = [(story.span(END)[0] - HOUR, story.span(END)[1] + 2 * HOUR) for story in stories.STORIES]
    all_of_them, false = series(), Counter()
    for one in all_of_them:
        false[one] = sum(not any(a <= at <= b for a, b in told) for at in found_in(*one))
    assert len(all_of_them) > 100
    assert {one: number for one, number in false.items() if number > 1} == {}
    assert false.total() <= len(all_of_them) / 20
