"""A page with every component, for tests and for the eye; no part of the product."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import pi, sin
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import include, path

from aiops_site.charts import Bar, Bars, Chart, Marker, Series, Slot, Threshold, heat_strip, sparkline
from usage.scope import Scope

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOURS = [NOON - timedelta(hours=23 - h) for h in range(24)]
BERLIN = ZoneInfo("Europe/Berlin")
TIMES = {"tz": BERLIN, "start": HOURS[0], "end": NOON + timedelta(hours=1), "step": "hour"}


def wave(hour: int, low: float, high: float, shift: float = 0) -> float:
    """A day's rhythm between low and high."""
    return low + (high - low) * (1 + sin((hour - 8 + shift) * pi / 12)) / 2


def hourly(name: str, value, **look) -> Series:
    """A series of the day: `value` of each hour."""
    return Series(name, [(t, value(h)) for h, t in enumerate(HOURS)], **look)


def latency() -> Chart:
    slow = dict.fromkeys(range(17, 21), 2.6)
    lines = [(name, scale) for name, scale in (("p50", 1), ("p95", 2.7), ("p99", 5.2))]
    series = [
        Series(
            name,
            [(t, None if h in (5, 6) else wave(h, 380, 520) * scale * slow.get(h, 1)) for h, t in enumerate(HOURS)],
        )
        for name, scale in lines
    ]
    before = Series("p95, week before", [(t, wave(h, 400, 520) * 2.6) for h, t in enumerate(HOURS)], previous=True)
    return Chart(
        "latency",
        "p95 doubled at 05:00, model gpt-4o only",
        "ms",
        [*series, before],
        log_y=True,
        unknown=[(HOURS[5], HOURS[7])],
        markers=[
            Marker(HOURS[17] - timedelta(minutes=12), "search-assist 4.2.0", "/changes/1/"),
            Marker(HOURS[9], "prompt <b>v7</b>", "/changes/2/"),
        ],
        thresholds=[Threshold(2000, "objective 2 s")],
        source_url="/events/",
        drill_url="/events/?status=error",
        note="End to end, entry requests; gap: no traffic reported 18:00 to 20:00.",
        **TIMES,
    )


def spend() -> Chart:
    models = [("gpt-4o", 6), ("claude-sonnet-4", 4.2), ("gpt-4o-mini", 1.3), ("gemini-2.0-flash", 0.8)]
    series = [hourly(n, lambda h, k=k: Decimal(str(round(wave(h, 1, 3) * k, 7))), kind="bar") for n, k in models]
    return Chart(
        "spend", "gpt-4o is half of the spend, and rises", "USD", series, stacked=True, drill_url="/events/", **TIMES
    )


def rate() -> Chart:
    now = hourly("Today", lambda h: wave(h, 90, 410) * (0.4 if h > 18 else 1), tone="accent")
    band = hourly("Expected", lambda h: (wave(h, 70, 360), wave(h, 120, 460)), kind="band", tone="accent")
    marks = [Marker(HOURS[17] - timedelta(minutes=12), "search-assist 4.2.0", "/changes/1/")]
    title = "Requests fell to 40 % at 07:00"
    return Chart("rate", title, "requests", [now, band], height="small", markers=marks, **TIMES)


def errors() -> Chart:
    kinds = [("timeout", 0.004, 0), ("rate_limit", 0.011, 2), ("tool_failure", 0.022, 2)]
    series = [hourly(n, lambda h, k=k, more=more: wave(h, 0, k) + (k * more if h > 17 else 0)) for n, k, more in kinds]
    title = "Tool failures are the largest kind"
    return Chart("errors", title, "%", series, height="small", drill_url="/events/", **TIMES)


def tokens() -> Chart:
    series = [
        hourly("input", lambda h: wave(h, 1e6, 9e6), kind="area"),
        hourly("output", lambda h: wave(h, 2e5, 2e6), kind="area"),
    ]
    return Chart("tokens", "Input is four fifths of all tokens", "tokens", series, stacked=True, **TIMES)


def bars() -> Bars:
    return Bars(
        "Spend by model",
        "USD",
        [
            Bar("gpt-4o", Decimal("412.803"), "/events/?model=gpt-4o", "12.3k calls", Decimal("380")),
            Bar("claude-sonnet-4", Decimal("301.2"), "/events/", "8.1k calls", Decimal("322")),
            Bar("gpt-4o-mini", Decimal("90.41"), "/events/", "51k calls"),
            Bar("gemini-2.0-flash", Decimal("42.66"), "/events/", "20k calls"),
            Bar("in-house-7b", None, "/prices/unpriced/", "312 calls"),
        ],
        coloured=True,
        url="/spend/",
    )


ROWS = [
    ("search-assist", 48211, Decimal("412.8"), 0.018, 2140, 0.49),
    ("ticket-summary", 20411, Decimal("0.0021"), 0.0004, 840, 0.31),
    ("a-feature-with-a-rather-long-name-that-goes-on", 312, None, None, None, None),
]


CURL = """curl -X POST https://desk.example/api/v1/events \\
  -H 'Authorization: Bearer KEY' \\
  -d '{"model": "gpt-4o"}'"""


def gallery(request) -> HttpResponse:
    """Every component with figures like those of a day."""
    messages.success(request, "Price saved. 1,204 events are re-priced in the background.")
    ratios = [0.9991, 0.9987, 0.9999, 1, 0.998, None, None, 0.999, 0.997, 0.9996] * 9 + [
        0.991,
        0.94,
        0.86,
        0.93,
        0.985,
        0.999,
    ]
    slots = [Slot(HOURS[0] + timedelta(minutes=15 * i), r, "/events/") for i, r in enumerate(ratios)]
    context = {
        "scope": Scope.from_request(request),
        "charts": [latency(), rate(), errors()],
        "spend": spend(),
        "tokens": tokens(),
        "empty_chart": Chart("none", "No figures yet", "USD", [Series("Spend", [(t, None) for t in HOURS])], **TIMES),
        "bars": bars(),
        "strip": heat_strip(slots, tz=BERLIN),
        "spark": sparkline([wave(h, 2, 9) if h != 9 else None for h in range(24)], "24 h"),
        "rows": ROWS,
        "moment": datetime.now(UTC) - timedelta(minutes=4),
        "cost": Decimal("847.2300417"),
        "cost_before": Decimal("756.1"),
        "tabs": [("Overview", "#", True), ("Members", "#", False), ("API keys", "#", False)],
        "curl": CURL,
    }
    return render(request, "frame_gallery.html", context)


def plain(request) -> HttpResponse:
    return HttpResponse("plain")


urlpatterns = [
    path("", gallery, name="incident"),
    path("product/", gallery, name="product"),
    path("executive/", gallery, name="executive"),
    path("spend/", gallery, name="spend"),
    path("prices/unpriced/", gallery, name="price-unpriced"),
    path("prices/", gallery, name="price-list"),
    path("events/", gallery, name="event-list"),
    path("changes/", gallery, name="change-list"),
    path("reconcile/", gallery, name="reconcile"),
    path("docs/", gallery, name="docs"),
    path("settings/", gallery, name="settings"),
    path("plain/", plain, name="plain"),
    path("accounts/", include("allauth.urls")),
]
