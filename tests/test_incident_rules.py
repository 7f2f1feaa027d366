"""The incident view's arithmetic: limits beyond chance, spells, what carries a change, and the sentence."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from aiops_site.incident import drivers, rules, spells, steps, verdict
from aiops_site.incident.drivers import Pair
from aiops_site.incident.rules import BY_METRIC, Reading, Signal
from aiops_site.incident.spells import Slot, Spell
from aiops_site.incident.verdict import Facts, Provider

T0 = datetime(2026, 11, 20, 11, tzinfo=UTC)
FIVE = timedelta(minutes=5)
ERRORS, P95 = BY_METRIC["error_rate"], BY_METRIC["latency_p95"]


# --- Limits -------------------------------------------------------------------------------------------------------
def test_it_calls_six_per_cent_of_a_thousand_bad():
    assert rules.grade(ERRORS, Reading(0.07, 0.01, 1000)) == "bad"


def test_it_does_not_call_one_failure_of_five_bad():
    assert rules.grade(ERRORS, Reading(0.2, 0.0, 5)) == "ok"


def test_it_warns_between_two_and_five_per_cent():
    assert rules.grade(ERRORS, Reading(0.035, 0.01, 2000)) == "warn"


def test_it_has_no_opinion_without_traffic():
    assert rules.grade(ERRORS, Reading(None, 0.01, 0)) == ""


def test_a_slow_page_that_is_always_slow_is_no_news():
    assert rules.grade(P95, Reading(15_000, 14_000, 500)) == "ok"
    assert rules.grade(P95, Reading(15_000, 6_000, 500)) == "bad"
    assert rules.grade(P95, Reading(15_000, None, 500)) == "bad"


def test_it_does_not_judge_a_percentile_of_a_few_requests():
    assert rules.grade(P95, Reading(15_000, 1_000, 113)) == ""


def test_spend_twice_the_usual_is_bad_and_half_more_a_warning():
    spend = BY_METRIC["cost_per_hour"]
    assert [rules.grade(spend, Reading(value, 10, 500)) for value in (21, 16, 12)] == ["bad", "warn", "ok"]


def test_a_doubled_rate_must_also_be_more_than_chance():
    refusals = BY_METRIC["refusal_rate"]
    assert rules.grade(refusals, Reading(0.05, 0.02, 40)) == "ok"
    assert rules.grade(refusals, Reading(0.05, 0.02, 4000)) == "warn"


@pytest.mark.parametrize(
    ("gap", "usual", "silent"), [(12, 100, True), (12, 10, False), (5, 10_000, False), (30, 12, True)]
)
def test_silence_needs_a_gap_in_which_requests_were_due(gap, usual, silent):
    assert rules.is_silent(gap, usual) is silent


def test_the_lower_bound_is_that_of_wilson():
    assert rules.lower_bound(10, 100) == pytest.approx(0.0552, abs=1e-4)
    assert rules.lower_bound(0, 100) == pytest.approx(0, abs=1e-12)
    assert rules.lower_bound(0, 0) == 0


def test_every_signal_names_a_figure_of_the_catalogue_and_says_a_sentence():
    for signal in rules.SIGNALS:
        assert isinstance(signal, Signal)
        assert "{" not in signal.says.format(value="1 %", count="9", noun="requests")


# --- Spells -------------------------------------------------------------------------------------------------------
def slots(*pairs: tuple[int, int]) -> list[Slot]:
    return [Slot(T0 + FIVE * i, count, failed) for i, (count, failed) in enumerate(pairs)]


def test_it_finds_when_failing_began_and_ended():
    quiet = [(20, 0)] * 6
    found = spells.find("openai", slots(*quiet, (20, 9), (20, 8), (20, 10), *quiet), T0 + FIVE * 15)
    assert [(s.start, s.end, s.failed, s.ongoing) for s in found] == [(T0 + FIVE * 6, T0 + FIVE * 9, 27, False)]


def test_a_spell_that_reaches_the_end_is_ongoing():
    end = T0 + FIVE * 6 + timedelta(minutes=2)
    (spell,) = spells.find("", slots(*[(20, 0)] * 4, (20, 9), (20, 9), (6, 4)), end)
    assert spell.ongoing and spell.end == end and spell.start == T0 + FIVE * 4


def test_thin_failures_are_judged_together():
    (spell,) = spells.find(
        "", slots((9, 0), (9, 0), (3, 2), (2, 1), (3, 2), (9, 0), (9, 0), (9, 0), (9, 0)), T0 + FIVE * 9
    )
    assert (spell.count, spell.failed) == (8, 5)


def test_single_failures_make_no_spell():
    assert spells.find("", slots(*[(10, 0), (10, 1), (10, 0), (10, 0)] * 6), T0 + FIVE * 24) == []


def test_the_worst_spell_is_one_that_lasts():
    old = Spell("", T0, T0 + FIVE, 900, 800, ongoing=False)
    new = Spell("openai", T0 + FIVE * 5, T0 + FIVE * 6, 30, 12, ongoing=True)
    assert spells.worst([old, new]) is new
    assert spells.worst([]) is None


# --- What carries a change ----------------------------------------------------------------------------------------
def test_it_names_the_provider_whose_calls_fail():
    before = {("openai",): Pair(4, 500), ("anthropic",): Pair(3, 500)}
    now = {("openai",): Pair(180, 500), ("anthropic",): Pair(4, 500)}
    (found,) = drivers.of_ratio("failures", "provider", now, before)
    assert (found.value, found.risen) == (("openai",), True)
    assert found.share > 0.95 and found.weight == 0.5


def test_values_that_only_share_the_rise_rank_below_the_one_that_has_it():
    before = {("eu",): Pair(5, 700), ("us",): Pair(2, 300), ("ap",): Pair(1, 100)}
    now = {("eu",): Pair(6, 700), ("us",): Pair(60, 300), ("ap",): Pair(30, 100)}
    assert [d.value[0] for d in drivers.of_ratio("failures", "region", now, before)] == ["us", "ap"]


def test_a_new_release_is_held_against_what_was_usual():
    before = {("1.0",): Pair(5, 1000)}
    now = {("1.0",): Pair(3, 500), ("1.1",): Pair(60, 500)}
    (found,) = drivers.of_ratio("failures", "release", now, before)
    assert found.value == ("1.1",) and found.before is None and found.risen


def test_a_value_without_failures_last_week_is_held_against_the_others():
    before = {("eu",): Pair(20, 1000), ("us",): Pair(0, 100)}
    now = {("eu",): Pair(20, 1000), ("us",): Pair(5, 150)}
    assert drivers.of_ratio("failures", "region", now, before) == []


def test_tokens_per_call_of_a_few_calls_are_chance():
    few = drivers.of_ratio("tokens", "feature", {("a",): Pair(60_000, 30)}, {("a",): Pair(40_000, 30)})
    many = drivers.of_ratio("tokens", "feature", {("a",): Pair(6_000_000, 3000)}, {("a",): Pair(4_000_000, 3000)})
    assert few == [] and len(many) == 1


def test_traffic_that_vanished_is_told():
    (found,) = drivers.of_traffic("tenant", {("b",): Pair(0, 100)}, {("a",): Pair(0, 400), ("b",): Pair(0, 100)})
    assert (found.value, found.now, found.before, found.risen) == (("a",), 0, 400, False)


def test_nothing_is_told_when_there_was_no_week_before():
    assert drivers.of_ratio("failures", "provider", {("openai",): Pair(50, 100)}, {}) == []


def test_a_slower_model_is_told_in_milliseconds():
    (found,) = drivers.of_latency("model", {("m",): (4000.0, 400)}, {("m",): (2000.0, 400)})
    assert (found.now, found.before, found.share) == (4000, 2000, None)
    assert drivers.of_latency("model", {("m",): (4000.0, 9)}, {("m",): (2000.0, 400)}) == []


# --- Steps --------------------------------------------------------------------------------------------------------
def test_thin_traffic_gets_wider_buckets_but_a_dozen_of_them():
    hours = timedelta(hours=6)
    assert steps.readable("5min", hours, 600) == "15min"
    assert steps.readable("5min", hours, 20_000) == "5min"
    assert steps.readable("5min", timedelta(hours=2), 3) == "5min"
    assert steps.readable("day", timedelta(days=90), 3) == "day"


# --- The sentence -------------------------------------------------------------------------------------------------
CALM = {name: None for signal in rules.SIGNALS for name in (signal.metric, signal.base)} | {
    "requests": 400, "calls": 300, "errors": 2, "successes": 398, "events": 900, "availability": 0.995,
    "error_rate": 0.005, "call_error_rate": 0.01, "latency_p95": 2100.0, "latency_p99": 4000.0,
    "requests_per_minute": 400 / 60,
}  # fmt: skip
NOBODY = dict.fromkeys(CALM) | {"requests": 0, "calls": 0, "errors": 0, "successes": 0, "events": 0}


def facts(now=None, usual=None, **changes) -> Facts:
    """A live quarter of an hour like every other, except for what is given."""
    now = CALM | (now or {})
    whole = {
        "now": now, "hour": now, "usual": CALM if usual is None else usual, "providers": [], "spell": None,
        "live": True, "label": "In the last 15 min", "hour_label": "in the last hour", "zone": ZoneInfo("UTC"),
        "silent_minutes": 0.0,
    }  # fmt: skip
    return Facts(**whole | changes)


def plain(given: verdict.Verdict) -> str:
    return f"{given.head}. {given.text}".replace("\N{NO-BREAK SPACE}", " ")


def test_it_says_that_all_is_well_and_how_it_was_a_week_ago():
    given = verdict.give(facts())
    assert given.tone == "ok"
    assert plain(given) == (
        "Answering normally. In the last 15 min: 99.50 % of 400 requests succeed, p95 2.1 s; "
        "a week earlier 99.50 %, p95 2.1 s."
    )


def test_it_says_since_when_requests_fail():
    spell = Spell("", T0 + timedelta(minutes=40), T0 + timedelta(minutes=72), 1204, 460, ongoing=True)
    failing = {"error_rate": 0.38, "errors": 150, "successes": 250, "availability": 0.62}
    given = verdict.give(facts(failing, spell=spell))
    assert given.tone == "bad"
    assert plain(given).startswith(
        "Failing since 11:40 (32 min). In the last 15 min: 38 % of 400 requests end in an error"
    )


def test_it_names_the_provider_and_how_requests_fare():
    spell = Spell("openai", T0, T0 + timedelta(minutes=50), 132, 49, ongoing=True)
    degraded = {"call_error_rate": 0.2, "availability": 0.94, "error_rate": 0.06, "errors": 60, "requests": 1000}
    given = verdict.give(facts(degraded, spell=spell, providers=[Provider("openai", 130, 0.37, 0.01)]))
    assert plain(given) == (
        "openai failing since 11:00 (50 min). In the last 15 min: 37 % of 130 calls to openai fail (usually 1.0 %). "
        "94 % of requests succeed."
    )
    assert {"provider": "openai", "status": "error"} in [finding.filters for finding in given.findings]


def test_most_requests_failing_is_down():
    down = {"error_rate": 1.0, "errors": 400, "successes": 0, "availability": 0.0}
    given = verdict.give(facts(down))
    assert given.head.startswith("Down") and given.findings[0].label == "No success"


def test_it_says_when_there_is_too_little_to_tell():
    given = verdict.give(facts({"requests": 7, "errors": 1, "error_rate": 0.14, "availability": 0.86, "calls": 7}))
    assert (given.tone, plain(given)) == (
        "neutral", "Not enough traffic to tell. 7 requests in the last hour, 1 failed."
    )  # fmt: skip


def test_it_says_how_long_it_has_been_silent():
    given = verdict.give(facts(silent_minutes=12.4))
    assert given.tone == "bad" and given.head == "No events for 12 min"


def test_a_quiet_night_is_not_silence():
    assert (
        verdict.give(facts(usual=CALM | {"requests_per_minute": 4 / 60}, silent_minutes=12.0)).head
        == "Answering normally"
    )


def test_a_past_window_never_speaks_of_silence():
    given = verdict.give(facts(live=False, silent_minutes=90.0))
    assert given.head == "Nothing stands out"


def test_a_week_without_traffic_is_not_a_usual_of_zero():
    given = verdict.give(facts({"cost_per_hour": 9, "tokens_per_minute": 500}, usual=NOBODY))
    assert given.tone == "ok" and "No traffic a week earlier" in given.text
