"""What the page shows: four sentences, the daily spend, the teams and the first risks."""

from dataclasses import dataclass
from decimal import Decimal

from django.urls import reverse

from aiops_site import formats
from aiops_site.charts import Chart, Series, sparkline
from aiops_site.charts.strips import Spark
from aiops_site.executive import queries, rules
from aiops_site.executive.queries import Day
from aiops_site.executive.rules import Reliability, Risk, Sentence, Spend, Value
from usage.metrics import MetricResult
from usage.queries.spend import SpendReport, change
from usage.scope import UNTAGGED, Scope


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
class Page:
    sentences: list[Sentence]
    chart: Chart
    teams: list[TeamLine]
    risks: list[RiskLine]
    more_risks: int


def read(scope: Scope) -> Page:
    """Ten metric queries, whatever the number of teams."""
    before = scope.shifted("previous")
    now, then = queries.totals(scope), queries.totals(before)
    by_day = queries.daily(scope)
    days, days_before = queries.days(by_day), queries.days(queries.daily(before))
    found = rules.risks(queries.slices(scope), queries.slices(before))
    sentences = [
        rules.reliability(_reliability(scope, now, then, days)),
        rules.spend(_spend(scope, queries.month(scope))),
        rules.quality(queries.proxies(now, then)),
        rules.risk(found),
    ]
    lines = [_risk_line(scope, risk) for risk in found[: rules.TOP]]
    return Page(sentences, _chart(scope, days, days_before), _teams(scope, by_day), lines, len(found) - len(lines))


def _reliability(scope: Scope, now: dict, then: dict, days: list[Day]) -> Reliability:
    known = [day for day in days if day.availability is not None]
    worst = min(known, key=lambda day: day.availability, default=None)
    named = (f"{worst.start.astimezone(scope.zone):%-d %B}", worst.availability) if worst else None
    return Reliability(now["availability"], then["availability"], now["requests"], now["errors"], named)


def _spend(scope: Scope, report: SpendReport) -> Spend:
    total = report.total
    start, before = (window.start.astimezone(scope.zone) for window in (report.window, report.before))
    seen_before = bool(total.before)
    return Spend(
        cost=total.now.cost,
        before=total.before.cost if seen_before else None,
        month=f"{start:%B}",
        month_before=f"{before:%B}",
        driver=_driver(report, seen_before),
        unpriced=total.now.unpriced,
    )


def _driver(report: SpendReport, compared: bool) -> tuple[str, Decimal] | None:
    """The team and feature that changed most in the direction of the whole; the dearest without a comparison."""
    value = change if compared else (lambda group: group.now.cost)
    whole = value(report.total)
    known = [(group.key, amount) for group in report.groups if (amount := value(group))]
    alike = [pair for pair in known if whole and (pair[1] > 0) == (whole > 0)]
    if not alike:
        return None
    key, amount = max(alike, key=lambda pair: abs(pair[1]))
    return " · ".join(part or UNTAGGED for part in key), amount


def _chart(scope: Scope, days: list[Day], before: list[Day]) -> Chart:
    """Spend by day. The period before is laid over it day by day."""
    known = [day for day in days if day.cost is not None]
    top = max(known, key=lambda day: day.cost, default=None)
    title = (
        f"Most spent on {top.start.astimezone(scope.zone):%-d %B}: {formats.money(top.cost)}"
        if top
        else "No known spend in this time"
    )
    earlier = [(day.start, old.cost) for day, old in zip(days, before, strict=False)]
    return Chart(
        id="spend-by-day",
        title=title,
        unit="USD",
        series=[
            Series("Spend", [(day.start, day.cost) for day in days], kind="bar", key="spend"),
            Series("period before", earlier, previous=True),
        ],
        tz=scope.zone,
        start=days[0].start if days else scope.start,
        end=scope.end,
        step="day",
        source_url=scope.url(reverse("spend"), from_=scope.start, to=scope.end),
        drill_url=scope.url(reverse("spend")),
        height="small",
    )


def _teams(scope: Scope, by_day: MetricResult) -> list[TeamLine]:
    rows = queries.by_team(scope)
    names = {team.slug: team.name for team in scope.teams}
    total = sum(row.values["cost_usd"] or 0 for row in rows)
    return [
        TeamLine(
            name=names[slug],
            url=scope.url(reverse("product"), team=slug, compare=None),
            availability=row.values["availability"],
            p95=row.values["latency_p95"],
            errors=row.values["errors"],
            cost=row.values["cost_usd"],
            share=row.values["cost_usd"] / total if total and row.values["cost_usd"] is not None else None,
            spark=sparkline([value for _, value in by_day.points("cost_usd", row.key)], f"{names[slug]}: spend by day"),
        )
        for row in rows
        for slug in row.key
    ]


def _risk_line(scope: Scope, risk: Risk) -> RiskLine:
    names = {team.slug: team.name for team in scope.teams}
    return RiskLine(risk, names.get(risk.team, ""), _risk_url(scope, risk))


def _risk_url(scope: Scope, risk: Risk) -> str:
    filters = {name: value or UNTAGGED for name, value in risk.filters}
    window = {"from_": scope.start, "to": scope.end, "compare": None}
    if risk.kind == "unpriced":
        return reverse("price-unpriced")
    if risk.kind == "events":
        return scope.url(reverse("event-list"), team=risk.team, **window | filters)
    by = {"provider": "team"}.get(risk.kind, risk.kind)
    return scope.url(reverse("spend"), by=by, **window | filters)
