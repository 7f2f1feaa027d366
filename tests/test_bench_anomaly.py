"""The scorer of the anomaly benchmark: it must agree with what is known of it."""

import pytest

from bench import anomaly, nab
from bench.nab import PROFILES, STANDARD, Labelled

needs_data = pytest.mark.skipif(not anomaly.DATA.is_dir(), reason=f"no labelled series in {anomaly.DATA}")


def series(*windows, rows=1000):
    return Labelled("made/up.csv", [300.0 * row for row in range(rows)], [0.0] * rows, list(windows))


def test_never_firing_is_0_and_perfect_is_100():
    corpus = [series((300, 399)), series((200, 249), (700, 749))]
    for profile in PROFILES:
        assert nab.total(corpus, [[], []], profile) == 0
        assert nab.total(corpus, [[300], [200, 700]], profile) == pytest.approx(100)


def test_only_the_best_detection_of_a_window_counts():
    one = series((300, 399))
    assert nab.score(one, [310, 320, 390], STANDARD) == nab.score(one, [310], STANDARD)


def test_a_later_detection_earns_less():
    one = series((300, 399))
    early, late = nab.score(one, [300], STANDARD), nab.score(one, [395], STANDARD)
    assert early == pytest.approx(1) and 0 < late < 0.2


def test_a_false_row_costs_its_full_price_before_any_window_and_less_just_behind_one():
    one, found = series((300, 399)), [300]
    assert nab.score(one, [*found, 200], STANDARD) == pytest.approx(1 - 0.11)
    assert 1 - 0.11 < nab.score(one, [*found, 402], STANDARD) < 1


def test_probation_is_not_scored():
    one = series((500, 599))
    assert one.probation == 150
    assert nab.score(one, [10, 149], STANDARD) == nab.score(one, [], STANDARD)


def test_flags_replayed_from_scores_are_those_of_the_detector():
    values = [float(n % 7) for n in range(400)] + [40.0] + [float(n % 7) for n in range(99)]
    one = Labelled("made/up.csv", [3600.0 * n for n in range(500)], values, [])
    detector = anomaly.Detector()
    fired = [n for n, (at, v) in enumerate(zip(one.times, values, strict=True)) if detector.update(at, v).flag]
    assert fired == anomaly.flags(one, anomaly.scores_of(one)) == [400]


@needs_data
def test_the_windowed_gaussian_has_its_published_score():
    corpus = nab.read(anomaly.DATA)
    detected = anomaly.gaussian_rows(corpus)[-1]
    assert [round(nab.total(corpus, detected, profile), 1) for profile in PROFILES] == [34.1, 15.0, 41.7]


@needs_data
def test_the_shipped_settings_find_what_was_labelled():
    corpus = [one for one in nab.read(anomaly.DATA) if one.category in ("artificialWithAnomaly", "realTraffic")]
    detected = [anomaly.flags(one, anomaly.scores_of(one)) for one in corpus]
    assert nab.total(corpus, detected, STANDARD) > 80
