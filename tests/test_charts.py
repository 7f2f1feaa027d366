"""Charts as data: what is drawn, what the table says, which colours names get."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from json import dumps
from zoneinfo import ZoneInfo

import pytest

from aiops_site.charts import Bar, Bars, Chart, Marker, Series, Slot, Threshold, heat_strip, slots, sparkline
from aiops_site.charts.colours import colours, slot
from aiops_site.charts.plotly import linear_ticks, log_ticks

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


def chart(*series: Series, unit: str = "USD", **more) -> Chart:
    return Chart("c", "A finding", unit, list(series), **more)


def spend(*values) -> Series:
    return Series("spend", [(NOON + HOUR * i, v) for i, v in enumerate(values)])


def test_a_missing_value_stays_a_gap_and_is_never_zero():
    trace = chart(spend(Decimal("1.5"), None, Decimal("2"))).figure()["data"][0]
    assert trace["y"] == [1.5, None, 2.0]
    assert trace["connectgaps"] is False


def test_a_point_without_neighbours_gets_a_dot():
    assert chart(spend(None, 1, None)).figure()["data"][0]["mode"] == "lines+markers"
    assert chart(spend(1, 2, None)).figure()["data"][0]["mode"] == "lines"


def test_the_table_keeps_every_digit_of_money():
    table = chart(spend(Decimal("0.0000012345678901"), None)).table()
    assert table.head == ["Time", "spend (USD)"]
    assert [row[1] for row in table.rows] == ["$0.0000012345678901", "unknown"]


def test_times_are_drawn_on_the_viewers_clock_and_drilled_in_utc():
    figure = chart(spend(1), tz=BERLIN, step="hour", drill_url="/events/").figure()
    assert figure["data"][0]["x"] == ["2026-03-03 13:00:00"]
    assert figure["data"][0]["customdata"] == ["2026-03-03T12:00:00Z"]
    assert figure["meta"] | {"labels": []} == {"drill": "/events/", "step": 3600.0, "labels": []}
    assert chart(spend(1), tz=BERLIN).table().rows[0][0] == "2026-03-03 13:00"


@pytest.mark.parametrize(("limit", "margin"), [(Decimal("2"), 22), (Decimal("0.5"), 8)], ids=["on top", "inside"])
def test_the_label_of_a_limit_above_all_points_has_room(limit, margin):
    drawn = chart(spend(1), thresholds=[Threshold(limit, "limit")]).figure()
    assert drawn["layout"]["margin"]["t"] == margin


def test_a_figure_is_plain_json():
    band = Series("expected", [(NOON, (Decimal("1"), 2.5))], kind="band")
    whole = chart(
        spend(Decimal("1.1"), float("nan")),
        band,
        markers=[Marker(NOON, "release", "/changes/1/")],
        thresholds=[Threshold(Decimal("2"), "limit")],
        unknown=[(NOON, NOON + HOUR)],
        start=NOON,
        end=NOON + HOUR,
    ).figure()
    assert "NaN" not in dumps(whole, allow_nan=False)


def test_a_name_cannot_bring_markup_or_a_template_into_the_chart():
    figure = chart(Series("<b>%{x}", [(NOON, 1)]), markers=[Marker(NOON, "<a href=x>")]).figure()
    assert figure["data"][0]["hovertemplate"] == "%{text}<extra>&lt;b&gt;% {x}</extra>"
    assert figure["layout"]["annotations"][0]["text"] == "&lt;a href=x&gt;"


def test_the_previous_period_is_a_thin_line_under_todays():
    before = Series("before", [(NOON, 1)], previous=True)
    first, second = chart(spend(2), before).figure()["data"]
    assert (first["name"], first["line"]["width"], first["line"]["color"]) == ("before", 1, "var(--c-previous)")
    assert second["name"] == "spend"


def test_unknown_spans_are_hatched_on_an_axis_of_their_own():
    figure = chart(spend(1, None), unknown=[(NOON + HOUR, NOON + HOUR * 2)]).figure()
    hatched = figure["data"][-1]
    assert (hatched["yaxis"], hatched["marker"]["pattern"]["shape"], hatched["width"]) == ("y2", "/", [3_600_000])
    assert figure["layout"]["yaxis2"]["visible"] is False


def test_stacked_bars_have_room_for_their_sum():
    two = [Series(n, [(NOON, 40)], kind="bar") for n in "ab"]
    assert chart(*two, stacked=True).figure()["layout"]["yaxis"]["range"][1] >= 80


def test_marker_labels_that_would_touch_keep_only_their_rule():
    near = [Marker(NOON + timedelta(minutes=m), f"change {m}") for m in (0, 1, 50)]
    layout = chart(spend(1), markers=near, start=NOON, end=NOON + HOUR).figure()["layout"]
    assert [a["text"] for a in layout["annotations"]] == ["change 0", "change 50"]
    assert len(layout["shapes"]) == 3


def test_a_late_marker_label_stands_left_of_its_rule_and_keeps_clear_of_the_one_before():
    pair = [Marker(NOON + timedelta(minutes=m), f"change {m}") for m in (47, 57)]
    layout = chart(spend(1), markers=pair, start=NOON, end=NOON + HOUR).figure()["layout"]
    assert [a["text"] for a in layout["annotations"]] == ["change 47"]


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(37, [0, 10, 20, 30]), (0.0042, [0, 0.001, 0.002, 0.003, 0.004]), (5, [0, 1, 2, 3, 4, 5])],
)
def test_linear_ticks_are_round_and_reach_up_to_the_highest(highest, ticks):
    assert linear_ticks(highest, 5) == ticks


def test_log_ticks_are_one_two_five():
    assert log_ticks(300, 6000) == [500, 1000, 2000, 5000]


def test_axis_ticks_speak_the_charts_unit():
    def texts(series, unit):
        return chart(series, unit=unit).figure()["layout"]["yaxis"]["ticktext"]

    assert texts(spend(40), "USD") == ["$0", "$10", "$20", "$30", "$40"]
    assert texts(spend(0.05), "%") == ["0 %", "1 %", "2 %", "3 %", "4 %", "5 %"]
    assert texts(spend(2000), "ms") == ["0", "500 ms", "1 s", "1.5 s", "2 s"]


def test_a_chart_of_negative_values_leaves_the_axis_to_plotly():
    assert "tickvals" not in chart(spend(-3, 4)).figure()["layout"]["yaxis"]


def test_an_empty_chart_knows_it():
    assert chart(spend(None, None)).empty
    assert not chart(spend(None, 0)).empty
    assert chart().figure()["data"] == []


def test_a_name_has_its_colour_on_every_chart():
    assert colours(["gpt-4o", "zzz"])["gpt-4o"] == colours(["gpt-4o"])["gpt-4o"]
    assert slot("gpt-4o") == slot(" GPT-4o ") == 5


def test_up_to_eight_names_never_share_a_colour():
    names = [f"model-{i}" for i in range(8)]
    assert sorted(slots(names).values()) == list(range(1, 9))
    clash = next(pair for pair in combinations((f"m{i}" for i in range(40)), 2) if slot(pair[0]) == slot(pair[1]))
    assert len(set(slots(clash).values())) == 2


def test_what_is_unknown_or_the_rest_has_no_category_colour():
    assert set(colours(["unknown", "other", "(none)"]).values()) == {"var(--c-muted)"}


def test_bars_show_share_of_the_known_and_no_length_for_the_unknown():
    rows = Bars("By model", "USD", [Bar("a", Decimal("3")), Bar("b", Decimal("1")), Bar("c", None)]).rows
    assert [(r.width, r.share, r.text) for r in rows] == [
        (100.0, "75 %", "$3.00"),
        (33.33, "25 %", "$1.00"),
        (None, "", "unknown"),
    ]


def test_a_sparkline_is_interrupted_where_nothing_is_known():
    spark = sparkline([1, 2, None, 3])
    assert spark.line.count("M") == 2
    assert spark.dot == (93.0, 2.0)
    assert sparkline([None]).line == ""


def test_the_strip_says_in_words_what_its_colours_say():
    ratios = [1, None, 0.99, 0.5]
    strip = heat_strip([Slot(NOON + HOUR * i, r) for i, r in enumerate(ratios)], tz=BERLIN)
    assert [c.tone for c in strip.cells] == ["ok", "none", "warn", "bad"]
    assert strip.summary == "2 of 3 intervals were below 99.50 %; the worst: Tue 16:00: 50 % good."
    assert (strip.ticks[0], strip.ticks[-1]) == ("13:00", "17:00")
    assert heat_strip([]).summary == "No traffic in this time."


def test_the_legend_sums_bars_up_and_gives_the_newest_value_of_a_line():
    points = [(NOON, 1.5), (NOON + HOUR, None), (NOON + 2 * HOUR, 2)]
    assert (Series("spend", points, kind="bar").summary, Series("p95", points).summary) == (3.5, 2)
    assert Series("spend", [(NOON, None)], kind="bar").summary is None
