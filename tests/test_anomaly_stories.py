"""The planted story of spend is found within two hours of its onset, and little else beside the planted stories."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

import pytest

from budgets.rules.episode import HOUR, Hour, Tracker, Watched
from usage.demo import stories
from usage.demo.cast import FEATURES
from usage.demo.hours import events_of_hour

END = datetime(2026, 3, 20, 14, tzinfo=UTC)
DAYS = 30
# A price for all, in USD a token: what matters here is that long prompts cost more.
PRICE = Decimal("0.000005")


@cache
def hours_of(feature_name: str) -> dict[str, dict[datetime, Hour]]:
    """Model → hour → figures of thirty days of the demo's traffic; "" holds the requests."""
    feature = next(feature for feature in FEATURES if feature.name == feature_name)
    sums: dict[tuple[str, datetime], Counter] = defaultdict(Counter)
    for back in range(DAYS * 24, 0, -1):
        hour = END - back * HOUR
        for event in events_of_hour(hour, END, feature=feature):
            at = datetime.fromisoformat(event["occurred_at"]).replace(minute=0, second=0, microsecond=0)
            if not event.get("parent_span_id"):
                sums["", at]["requests"] += 1
            if event.get("input_tokens"):
                count = sums[event["model"], at]
                count["calls"] += 1
                count["tokens"] += event["input_tokens"] + event.get("output_tokens", 0)
                count["refusals"] += bool(event.get("refused"))
    found: dict[str, dict[datetime, Hour]] = defaultdict(dict)
    for (model, at), count in sums.items():
        found[model][at] = Hour(
            at, count["tokens"] * PRICE, count["calls"], count["requests"], count["refusals"], count["tokens"]
        )
    return found


def found_in(feature: str, model: str, metric: Watched) -> list[datetime]:
    """When anomalies of a metric began."""
    tracker, hours, begun = Tracker(metric, Decimal("0.05")), hours_of(feature)[model], []
    for back in range(DAYS * 24, 0, -1):
        at = END - back * HOUR
        episode = tracker.step(at, hours.get(at, Hour(at, Decimal(0), 0, 0, 0, 0)))
        begun += [episode.started_at] if episode and episode.started_at not in begun else []
    return begun


def within(story: stories.Story, begun: list[datetime]) -> bool:
    start = story.span(END)[0]
    return any(start - HOUR < at <= start + 2 * HOUR for at in begun)


def test_longer_prompts_are_found_within_two_hours():
    assert within(stories.BLOAT, found_in("answer-drafting", "claude-sonnet-4-5", Watched.TOKENS_PER_CALL))


@pytest.mark.parametrize("feature", ["answer-drafting", "answer-box", "code-review", "docs-chat"])
def test_a_series_has_at_most_one_false_alarm_in_a_month(feature):
    told = [(story.span(END)[0] - HOUR, story.span(END)[1] + timedelta(hours=2)) for story in stories.STORIES]
    for model in hours_of(feature):
        for metric in Watched:
            false = [at for at in found_in(feature, model, metric) if not any(a <= at <= b for a, b in told)]
            assert len(false) <= 1, (model, metric, false)
