"""The steps of a rule's label set: pending, firing, well again; hysteresis, gaps, clock jumps, flapping."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from incidents.rules.alert_rules import FLAPPING, Reading, Standing, Terms, judge, ratio, step

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TERMS = Terms(True, Decimal("0.05"), Decimal("0.03"), for_seconds=120, clear_seconds=300, min_events=20)
HALF = timedelta(seconds=30)


NEW = Standing()


def after(verdicts: str, standing: Standing = NEW, start: datetime = NOON, terms: Terms = TERMS) -> Standing:
    """The standing after one evaluation per letter, 30 s apart: b(reach), m(between), w(ell), u(njudged)."""
    words = {"b": "breach", "m": "between", "w": "well", "u": "unjudged"}
    for number, letter in enumerate(verdicts):
        standing = step(standing, words[letter], terms, start + HALF * number)
    return standing


@pytest.mark.parametrize(
    ("value", "events", "verdict"),
    [
        ("0.06", 100, "breach"),
        ("0.05", 100, "between"),
        ("0.03", 100, "well"),
        ("0.9", 19, "well"),
        (None, 0, "well"),
    ],
)
def test_a_value_is_judged_by_threshold_clear_threshold_and_number_of_events(value, events, verdict):
    assert judge(TERMS, Reading(Decimal(value) if value else None, events)) == verdict


def test_below_mirrors_above():
    terms = Terms(False, Decimal("0.7"), Decimal("0.8"))
    values = ["0.6", "0.75", "0.8"]
    assert [judge(terms, Reading(Decimal(value))) for value in values] == ["breach", "between", "well"]


@pytest.mark.parametrize(("policy", "verdict"), [("ok", "well"), ("hold", "unjudged"), ("fire", "breach")])
def test_no_data_means_what_the_rule_says(policy, verdict):
    terms = Terms(True, Decimal(1), Decimal(1), no_data=policy)
    assert judge(terms, Reading(None)) == verdict


def test_it_fires_once_the_condition_has_held():
    assert after("bbbb").state == "pending"
    assert after("bbbbb").state == "firing"


def test_a_value_between_the_thresholds_ends_pending_but_keeps_firing():
    assert after("bbbm").state == "ok"
    assert after("bbbbb" + "m" * 30).state == "firing"


def test_it_is_over_only_after_it_was_well_for_long_enough():
    assert after("bbbbb" + "w" * 10).state == "firing"
    assert after("bbbbb" + "w" * 11).state == "ok"


def test_an_unjudged_evaluation_changes_nothing():
    assert after("bbu").state == "pending"
    assert after("bbbbb" + "u" * 30).state == "firing"


def test_the_same_evaluation_twice_is_the_same_as_once():
    once = after("bbb")
    assert step(once, "breach", TERMS, NOON + 2 * HALF) == once


def test_time_nobody_looked_at_does_not_count_as_held():
    standing = after("b")
    an_hour_later = step(standing, "breach", TERMS, NOON + timedelta(hours=1))
    assert an_hour_later.state == "pending"
    assert step(an_hour_later, "breach", TERMS, NOON + timedelta(hours=1, seconds=30)).state == "firing"


@pytest.mark.parametrize("jump", [timedelta(hours=-5), timedelta(days=2)], ids=["back", "forth"])
def test_a_clock_that_jumps_neither_fires_by_itself_nor_keeps_from_firing(jump):
    standing = after("bb")
    standing = after("bb", standing, NOON + jump)
    assert standing.state in ("pending", "firing")
    assert after("bbb", standing, NOON + jump + 2 * HALF).state == "firing"


def test_a_clock_that_jumps_back_does_not_keep_an_alert_for_hours():
    standing = after("bbbbb")
    assert after("w" * 12, standing, NOON - timedelta(days=1)).state == "ok"


def test_what_changes_often_stays_firing_until_it_was_well_for_an_hour():
    terms = Terms(True, Decimal(1), Decimal(1), clear_seconds=60)
    standing = after("bwww" * 3, terms=terms)
    assert len(standing.changes) == FLAPPING
    assert standing.is_flapping
    start = NOON + HALF * 12
    assert after("b" + "w" * 100, standing, start, terms).state == "firing"
    assert after("b" + "w" * 122, standing, start, terms).state == "ok"


def test_a_ratio_to_nearly_nothing_is_a_ratio_to_the_floor():
    assert ratio(Decimal("0.02"), Decimal("0.001"), Decimal("0.01")) == 2
    assert ratio(Decimal("0.02"), Decimal(0), Decimal(0)) is None
    assert ratio(Decimal("0.02"), None, Decimal("0.01")) is None
