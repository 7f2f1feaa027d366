"""The spend explorer: month so far or any window, by any two dimensions, beside an earlier period; and its CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from usage.measures import DIMENSIONS, NARROW_DIMENSIONS
from usage.metrics import QueryError
from usage.models import Series
from usage.queries.history import known_since
from usage.queries.spend import (
    ORDERS,
    Group,
    SpendQuery,
    SpendReport,
    change,
    groups_over_time,
    one_snapshot,
    spend_by,
    spend_over_time,
)
from usage.rules.spend import Window, month_before, month_so_far, step_for, steps_earlier, weeks_earlier, whole_steps
from usage.scope import FILTERS, RANGES, UNTAGGED, Scope
from usage.views import spend_shown as shown
from usage.views.events import first_event

# In the order a controller asks: who, for what, with what.
FIRST_CHOICES = ("team", "environment", "feature", "model", "provider", "tenant", "cost_center")
CHOICES = (*FIRST_CHOICES, *(name for name in DIMENSIONS if name not in FIRST_CHOICES))
WITH_TENANT = NARROW_DIMENSIONS | {"team", "tenant"}
# Where a click on a value leads: the first of these that is not yet fixed.
PATH = ("team", "feature", "model", "prompt_version", "tenant", "endpoint", "release", "operation")
ROWS, ALL_ROWS = 25, 1_000


@dataclass(frozen=True)
class Explorer:
    """What a request asks to see. `month`: the month so far, which is what the page opens with."""

    scope: Scope
    group_by: tuple[str, ...]
    month: bool
    now: datetime
    refusal: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest) -> "Explorer":
        now = timezone.now()
        scope = Scope.from_request(request, default_range="30d")
        month = not (request.GET.get("from") or request.GET.get("range") in RANGES)
        if month:
            so_far = month_so_far(now, scope.zone)
            scope = scope.between(so_far.start, so_far.end)
        if "compare" not in request.GET:
            scope = replace(scope, compare="previous")
        scope = replace(scope, filters=scope.filters | more_filters(request))
        group_by = _dimensions(request, scope)
        refusal = _refusal(group_by, scope)
        return cls(scope, tuple(n for n in group_by if n in WITH_TENANT) if refusal else group_by, month, now, refusal)

    @cached_property
    def step(self) -> str:
        return step_for(self.scope.end - self.scope.start)

    @cached_property
    def window(self) -> Window:
        asked = Window(self.scope.start, self.scope.end)
        rolling = not self.month and self.scope.range != "custom"
        return whole_steps(asked, self.step, self.scope.zone, self.now, rolling)

    @cached_property
    def before(self) -> Window | None:
        zone = self.scope.zone
        if self.scope.compare == "none":
            return None
        if self.scope.compare == "week":
            return weeks_earlier(self.window, zone)
        return month_before(self.window, zone) if self.month else steps_earlier(self.window, self.step, zone)

    @cached_property
    def query(self) -> SpendQuery:
        filters = self.scope.filters
        return SpendQuery(self.window, self.before, self.group_by, self.scope.team_ids, filters, self.scope.zone)

    @cached_property
    def known_since(self) -> datetime | None:
        return known_since(self.scope.team_ids)

    @property
    def order(self) -> str:
        asked = dict(self.scope.parameters).get("sort", "-spend")
        return asked if asked.lstrip("-") in ORDERS else "-spend"

    @property
    def limit(self) -> int:
        return ALL_ROWS if ("rows", "all") in self.scope.parameters else ROWS

    def labels(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """The values of a group as people read them: teams by name, and a word for none."""
        names = self.scope.team_names
        return tuple(
            names.get(value, value) if name == "team" else value or UNTAGGED
            for name, value in zip(self.group_by, key, strict=True)
        )

    def drill(self, place: int, value: str) -> str:
        """The URL with the value of one dimension fixed, broken down further."""
        name, rest = self.group_by[place], self.group_by[:place] + self.group_by[place + 1 :]
        taken = {*rest, name, *self.scope.filters, *(["team"] if len(self.scope.teams) == 1 else [])}
        allowed = WITH_TENANT if "tenant" in taken else set(CHOICES)
        following = [step for step in PATH if step not in taken and step in allowed]
        by = (*rest, *following)[0] if (rest or following) else name
        return self.scope.url(**{name: value or UNTAGGED, "by": by, "then": None, "sort": None, "rows": None})


def more_filters(request: HttpRequest) -> dict[str, tuple[str, ...]]:
    """Filters on the dimensions that the filter bar does not have."""
    return {
        name: tuple("" if value == UNTAGGED else value for value in values)
        for name in DIMENSIONS
        if name not in FILTERS and (values := [v for v in request.GET.getlist(name) if v and "\0" not in v])
    }


def _dimensions(request: HttpRequest, scope: Scope) -> tuple[str, ...]:
    """`by` and `then`, where they are dimensions; else teams, or features where there is one team."""
    asked = [name for name in (request.GET.get("by"), request.GET.get("then")) if name in CHOICES]
    return tuple(dict.fromkeys(asked)) or ("team" if len(scope.teams) > 1 else "feature",)


def _refusal(group_by: tuple[str, ...], scope: Scope) -> str:
    """Why the breakdown cannot be shown as asked; '' if it can."""
    if "tenant" not in {*group_by, *scope.filters}:
        return ""
    wide = sorted({*group_by, *scope.filters} - WITH_TENANT)
    return (
        f"Figures by tenant are not kept by {', '.join(wide).replace('_', ' ')}: with thousands of tenants that would"
        " be too many sums. Combine tenant with team, environment, feature, model, provider, operation, cost center,"
        " status or error type."
        if wide
        else ""
    )


@login_required
@require_safe
def spend(request: HttpRequest) -> HttpResponse:
    """The page. A breakdown that is not kept is refused in words, with what can be shown instead."""
    explorer = Explorer.from_request(request)
    context = {
        "explorer": explorer,
        "scope": explorer.scope,
        "default_compare": "previous",
        "month_url": explorer.scope.url("/spend/", **{"range": None, "from": None, "to": None}),
        "choices": [(name, name in explorer.group_by[:1], name in explorer.group_by[1:2]) for name in CHOICES],
        "form_hidden": [pair for pair in explorer.scope.parameters if pair[0] not in ("by", "then", "sort", "rows")],
    }
    if not Series.objects.filter(team_id__in=explorer.scope.team_ids).exists():
        return render(request, "usage/spend/first_run.html", context | {"curl": first_event(request)})
    try:
        return render(request, "usage/spend/page.html", context | _figures(explorer))
    except QueryError as refused:
        return render(request, "usage/spend/refused.html", context | {"refusal": str(refused)}, status=400)


def _figures(explorer: Explorer) -> dict[str, object]:
    with one_snapshot():
        report = spend_by(explorer.query)
        groups = report.ranked(explorer.order, explorer.labels)
        listed, charted = groups[: explorer.limit], report.ranked()[: shown.STACKED]
        over_time = spend_over_time(explorer.query, explorer.window, explorer.step)
        by_group = groups_over_time(explorer.query, [group.key for group in (*listed, *charted)], explorer.step)
    return {
        "report": report,
        "total": report.total,
        "change": change(report.total),
        "sentence": shown.sentence(explorer, report),
        "against": shown.against(explorer),
        "incomplete": shown.incomplete(explorer),
        "compared_with": shown.compared_with(explorer),
        "stacked": shown.stacked(explorer, report, charted, over_time, by_group),
        "unit_costs": shown.unit_costs(explorer, report, over_time),
        "trend": shown.trend(over_time),
        "compared": bool(report.total.before),
        "waterfall": shown.waterfall(report) if report.total.before else [],
        "drivers": shown.drivers(explorer, report) if report.total.before else [],
        "rows": [shown.row(explorer, report, group, by_group) for group in listed],
        "rest": shown.rest(groups[explorer.limit :], report),
        "untagged": shown.untagged(explorer, report),
        "unmetered_url": shown.events_url(explorer, (), ()),
        "csv_url": explorer.scope.url("/spend/csv/"),
        "explain_url": shown.explained_at(explorer),
    }


# --- CSV ------------------------------------------------------------------------------------------------------------
NUMBERS = ("spend_usd", "requests", "calls", "input_tokens", "output_tokens", "unpriced_calls", "unmetered_calls")
# A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


@login_required
@require_safe
def spend_csv(request: HttpRequest) -> HttpResponseBase:
    """Every group of the page's breakdown with exact figures; an unknown cost is an empty cell."""
    explorer = Explorer.from_request(request)
    try:
        report = spend_by(explorer.query)
    except QueryError as refused:
        return HttpResponse(str(refused), status=400, content_type="text/plain; charset=utf-8")
    response = StreamingHttpResponse(_lines(report, explorer.order), content_type="text/csv; charset=utf-8")
    local = [moment.astimezone(explorer.scope.zone) for moment in (report.window.start, report.window.end)]
    name = f"spend_{local[0]:%Y-%m-%d}_{local[1]:%Y-%m-%d}_by_{'_'.join(report.query.group_by)}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(report: SpendReport, order: str) -> Iterator[str]:
    writer = csv.writer(_Echo())
    before = [f"before_{name}" for name in NUMBERS] if report.before else []
    effects = ["volume_effect_usd", "tokens_effect_usd", "price_effect_usd"] if report.before else []
    yield writer.writerow(["start", "end", *report.query.group_by, *NUMBERS, *before, *effects])
    window = [moment.isoformat() for moment in (report.window.start, report.window.end)]
    for group in report.ranked(order):
        yield writer.writerow([*window, *(_cell(value or UNTAGGED) for value in group.key), *_numbers(group)])


def _numbers(group: Group) -> list[str]:
    sides = [side for side in (group.now, group.before) if side is not None]
    effects = group.effects
    return [
        text
        for side in sides
        for text in (
            _exact(side.cost),
            *map(str, (side.requests, side.calls, side.input_tokens, side.output_tokens)),
            str(side.unpriced),
            str(side.unmetered),
        )
    ] + ([_exact(amount) for amount in (effects.volume, effects.tokens, effects.price)] if effects else [])


def _exact(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:f}"


def _cell(text: str) -> str:
    """Text that no spreadsheet runs: a quote before what would be a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
