"""What the page shows: four sentences, the daily spend, the teams and the first risks."""

from dataclasses import dataclass
from decimal import Decimal

from django.urls import reverse

from aiops_site import formats
from aiops_site.charts import Chart, Series, sparkline
from aiops_site.charts.strips import Spark
from aiops_site.executive import budgets, objectives, queries, rules
from aiops_site.executive.budgets import Budgets
from aiops_site.executive.objectives import Objectives
from aiops_site.executive.queries import Day, Totals
from aiops_site.executive.rules import Reliability, Risk, Sentence, Spend, Value
from budgets.models import Forecast
from usage.queries.spend import SpendReport, change
from usage.scope import UNTAGGED, Scope

TEAMS = 12  # shown: a sheet of paper has no room for more


@dataclass(frozen=True)
class TeamLine:
    """A team's facts; `spark` is its spend by day, `share` its part of the known spend."""

    name: str
    url: str
    availability: Value
    p95: Value
    errors: int
    cost: Value
    share: Value
    spark: Spark


@dataclass(frozen=True)
class RiskLine:
    """A risk with its owner's name and the page that shows it."""

    risk: Risk
    owner: str
    url: str


@dataclass(frozen=True)
class PaperBars:
    """Spend by day in a box of 1000 × 100: one SVG path with a bar for each known day, and the words beside it."""

    path: str
    first: str
    last: str
    highest: str


@dataclass(frozen=True)
class Page:
    """`bars` is the chart for paper: the interactive one is drawn for the width of a screen."""

    sentences: list[Sentence]
    chart: Chart
    bars: PaperBars
    teams: list[TeamLine]
    more_teams: int
    teams_url: str
    risks: list[RiskLine]
    more_risks: int
    budgets: Budgets
    objectives: Objectives


def read(scope: Scope, user) -> Page:
    """Eight metric queries, whatever the number of teams; five without a comparison, one more with a budget.

    Beside them those of the objectives: one for each kind of slice and window.
    """
    now, days = queries.totals(scope), queries.days(queries.daily(scope))
    days_before = queries.days(queries.daily(scope.previous)) if scope.previous else []
    before = queries.totals(scope.previous) if scope.previous and comparable(days_before) else None
    found = rules.risks(now.slices, before.slices if before else [])
    promised = objectives.read(scope, user)
    sentences = [
        rules.reliability(_reliability(scope, now, before, days, promised)),
        rules.spend(_spend(scope, queries.month(scope), budgets.expected(scope, user))),
        rules.quality(queries.proxies(now, before)),
        rules.risk(found),
    ]
    lines = [_risk_line(scope, risk) for risk in found[: rules.TOP]]
    chart = _chart(scope, days, days_before if before else [])
    slugs, against = queries.ranked(now.slices), budgets.read(scope, user)
    return Page(
        sentences=sentences,
        chart=chart,
        bars=_bars(scope, days),
        teams=_teams(scope, slugs[:TEAMS], sum((one.known_cost for one in now.slices), Decimal(0))),
        more_teams=max(len(slugs) - TEAMS, 0),
        teams_url=scope.url(reverse("spend"), by="team", from_=scope.start, to=scope.end),
        risks=lines,
        more_risks=len(found) - len(lines),
        budgets=against,
        objectives=promised,
    )


def comparable(days: list[Day]) -> bool:
    """Whether a period can be compared with: traffic on at least half of its days."""
    return 2 * sum(day.availability is not None or day.cost is not None for day in days) >= len(days)


def _reliability(scope: Scope, now: Totals, then: Totals | None, days: list[Day], promised: Objectives) -> Reliability:
    known = [(day.availability, day.start) for day in days if day.availability is not None]
    worst = min(known, default=None)
    named = (f"{worst[1].astimezone(scope.zone):%-d %B}", worst[0]) if worst else None
    before = then.availability if then else None
    kept = (promised.kept, promised.judged, promised.missed) if promised.judged else None
    return Reliability(now.availability, before, now.requests, now.errors, named, kept)


def _spend(scope: Scope, report: SpendReport, ahead: Forecast | None) -> Spend:
    now, before = report.total.now, report.total.before
    names = [f"{window.start.astimezone(scope.zone):%B}" for window in (report.window, report.before) if window]
    return Spend(
        cost=now.cost,
        before=before.cost if before else None,
        month=names[0],
        month_before=names[-1],
        driver=_driver(report, bool(before), scope.team_names),
        unpriced=now.unpriced,
        expected=ahead.expected if ahead else None,
        interval=(ahead.low80, ahead.high80) if ahead else None,
    )


def _driver(report: SpendReport, compared: bool, names: dict[str, str]) -> tuple[str, Decimal] | None:
    """The team and feature that changed most in the direction of the whole; the dearest without a comparison."""
    value = change if compared else (lambda group: group.now.cost)
    whole = value(report.total)
    known = [(group.key, amount) for group in report.groups if (amount := value(group))]
    alike = [pair for pair in known if whole and (pair[1] > 0) == (whole > 0)]
    if not alike:
        return None
    (team, feature), amount = max(alike, key=lambda pair: abs(pair[1]))
    return f"{names[team]} · {feature or UNTAGGED}", amount


def _chart(scope: Scope, days: list[Day], before: list[Day]) -> Chart:
    """Spend by day. The period before is laid over it day by day."""
    known = [(day.cost, day.start) for day in days if day.cost is not None]
    top = max(known, default=None)
    title = (
        f"Most spent on {top[1].astimezone(scope.zone):%-d %B}: {formats.money(top[0])}"
        if top
        else "No known spend in this time"
    )
    earlier = [(day.start, old.cost) for day, old in zip(days, before, strict=False)]
    previous = [Series("period before", earlier, previous=True)] if before else []
    return Chart(
        id="spend-by-day",
        title=title,
        unit="USD",
        series=[
            Series("Spend", [(day.start, day.cost) for day in days], kind="bar", key="spend"),
            *previous,
        ],
        tz=scope.zone,
        start=days[0].start if days else scope.start,
        end=scope.end,
        step="day",
        source_url=scope.url(reverse("spend"), from_=scope.start, to=scope.end),
        drill_url=scope.url(reverse("spend")),
        height="small",
    )


def _bars(scope: Scope, days: list[Day]) -> PaperBars:
    highest = max((day.cost for day in days if day.cost), default=None)
    width = 1000 / max(len(days), 1)
    bars = [
        f"M{place * width:.1f} 100h{width * 0.85:.1f}v{-100 * day.cost / highest:.1f}h{-width * 0.85:.1f}z"
        for place, day in enumerate(days)
        if day.cost and highest
    ]
    first, last = (f"{day.start.astimezone(scope.zone):%-d %b}" for day in (days[0], days[-1]))
    return PaperBars("".join(bars), first, last, formats.money(highest))


def _teams(scope: Scope, slugs: list[str], total: Decimal) -> list[TeamLine]:
    """A line of each; `total` is the known spend of all teams."""
    names = scope.team_names
    figures, by_day = queries.of_teams(scope, slugs)
    rows = {row.key[0]: row.values for row in figures.rows}
    return [
        TeamLine(
            name=names[slug],
            url=scope.url(reverse("product"), team=slug, compare=None),
            availability=values["availability"],
            p95=values["latency_p95"],
            errors=values["errors"],
            cost=values["cost_usd"],
            share=values["cost_usd"] / total if total and values["cost_usd"] is not None else None,
            spark=sparkline([value for _, value in by_day.points("cost_usd", (slug,))], f"{names[slug]}: spend by day"),
        )
        for slug in slugs
        if (values := rows.get(slug))
    ]


def _risk_line(scope: Scope, risk: Risk) -> RiskLine:
    return RiskLine(risk, scope.team_names.get(risk.team, ""), _risk_url(scope, risk))


def _risk_url(scope: Scope, risk: Risk) -> str:
    filters = {name: value or UNTAGGED for name, value in risk.filters}
    window = {"from_": scope.start, "to": scope.end, "compare": None}
    if risk.kind == "unpriced":
        return reverse("price-unpriced")
    if risk.kind == "events":
        return scope.url(reverse("event-list"), team=risk.team, **window | filters)
    by = {"provider": "team"}.get(risk.kind, risk.kind)
    return scope.url(reverse("spend"), by=by, **window | filters)
