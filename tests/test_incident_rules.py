"""Pure rules of incidents: the severity that figures suggest, the way of the states, the clocks, keyset places."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from incidents.rules.keyset import mark, place
from incidents.rules.severity import Readings, suggest
from incidents.rules.states import Moments, clocks, next_states, stamps

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("readings", "severity"),
    [
        (Readings(requests=100, failing=Decimal("0.51"), usual_failing=Decimal("0.01")), 1),
        (Readings(requests=100, failing=Decimal("0.5"), usual_failing=Decimal("0.01")), 3),
        (Readings(requests=100, failing=Decimal("0.01"), usual_failing=Decimal("0.01")), 4),
        (Readings(requests=100, failing=Decimal(0), worst_feature=("chat", Decimal("0.6"), 30)), 2),
        (Readings(requests=100, p95_ratio=Decimal(2)), 2),
        (Readings(requests=100, p95_ratio=Decimal("1.3")), 3),
        (Readings(cost_ratio=Decimal("2.1")), 2),
        (Readings(quality_drop=("Citation coverage", Decimal("0.21"))), 2),
        (Readings(quality_drop=("Citation coverage", Decimal("0.2"))), 3),
        (Readings(quality_drop=("Citation coverage", Decimal("-0.1"))), 4),
    ],
)
def test_the_worst_figure_gives_the_severity(readings, severity):
    found = suggest(readings)
    assert found is not None
    assert found.severity == severity
    assert found.reasons[0][0] == severity


def test_figures_of_a_handful_of_requests_suggest_nothing():
    assert suggest(Readings(requests=19, failing=Decimal(1), p95_ratio=Decimal(9))) is None


def test_the_numbers_behind_a_suggestion_are_said():
    found = suggest(Readings(requests=1200, failing=Decimal("0.31"), usual_failing=Decimal("0.01")))
    assert found is not None
    assert found.reasons == [(3, "31 % of 1,200 requests fail, usually 1.0 %")]


def test_an_open_incident_goes_on_or_back_and_a_closed_one_is_learned_from_or_reopened():
    assert next_states("declared") == ("triaging", "mitigating", "monitoring", "resolved")
    assert next_states("monitoring") == ("resolved", "triaging", "mitigating")
    assert next_states("resolved") == ("learned", "triaging")


def test_times_stamp_themselves():
    moments = Moments(NOON - MINUTE, NOON)
    at = NOON + 5 * MINUTE
    assert stamps(moments, "triaging", at, True) == {
        "acknowledged_at": at,
        "mitigated_at": None,
        "resolved_at": None,
        "learned_at": None,
    }
    assert "acknowledged_at" not in stamps(moments, "triaging", at, False)
    assert stamps(moments, "monitoring", at, True)["mitigated_at"] == at
    resolved = stamps(moments, "resolved", at, True)
    assert (resolved["mitigated_at"], resolved["resolved_at"]) == (at, at)


def test_going_back_says_that_the_impact_is_not_over():
    moments = Moments(NOON, NOON, NOON, mitigated_at=NOON + MINUTE)
    assert stamps(moments, "mitigating", NOON + 2 * MINUTE, True)["mitigated_at"] is None


def test_a_clock_that_jumps_back_gives_no_negative_time():
    found = stamps(Moments(NOON, NOON), "resolved", NOON - MINUTE, True)
    assert set(found.values()) == {NOON, None}


def test_the_clocks_count_detection_from_the_impact_and_the_rest_from_detection():
    found = clocks(Moments(NOON - 3 * MINUTE, NOON, NOON + MINUTE, NOON + 5 * MINUTE))
    assert [(one.name, one.length) for one in found] == [
        ("TTD", 3 * MINUTE),
        ("TTA", MINUTE),
        ("TTM", 5 * MINUTE),
        ("TTR", None),
    ]


def test_a_place_in_a_list_survives_a_url():
    at = NOON + timedelta(microseconds=1)
    assert place(mark(at, 17)) == (at, 17)
    assert place(mark(at, 17).replace("+", " ")) == (at, 17)


@pytest.mark.parametrize(
    "text", ["", "x", "2026-05-04T12:00:00_1", "2026-05-04T12:00:00+00:00_²", "0001-01-01T00:00:00+00:00_1"]
)
def test_no_other_text_is_a_place(text):
    assert place(text) is None
