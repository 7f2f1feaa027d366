"""GET /api/v1/metrics and GET /api/v1/spend: a key reads the figures of its own team."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import ApiProblem, key_of
from usage.metrics import CATALOGUE, DIMENSION_NAMES, MetricQuery, MetricResult, QueryError, query
from usage.metrics.window import STEPS, floor
from usage.queries.spend import ORDERS, Group, SpendQuery, SpendReport, add_up, one_snapshot, spend_by
from usage.rules.effects import Effects
from usage.rules.spend import Figures, Window, month_before, month_so_far, weeks_earlier
from usage.scope import UNTAGGED

MAX_LIMIT, LIMIT = 10_000, 100
COMPARISONS = ("none", "previous", "week")
# What a choice falls back to: one of its values, or nothing.
Default = TypeVar("Default", str, None)
COUNTS = ("unpriced_calls", "unmetered_calls")


# --- Parameters -----------------------------------------------------------------------------------------------------
def parameter(name: str, says: str, **options) -> OpenApiParameter:
    return OpenApiParameter(
        name, options.pop("type", OpenApiTypes.STR), OpenApiParameter.QUERY, description=says, **options
    )


COMMON = [
    parameter("group_by", "Dimensions, repeated or with commas", many=True, enum=DIMENSION_NAMES),
    *(
        parameter(name, f"Only this {name}; repeat for several, {UNTAGGED} for events that name none", many=True)
        for name in DIMENSION_NAMES
    ),
    parameter("start", "ISO 8601 with zone", type=OpenApiTypes.DATETIME),
    parameter("end", "ISO 8601 with zone, exclusive; default: now", type=OpenApiTypes.DATETIME),
    parameter("compare", "Also the period before, or the same time weeks before", enum=COMPARISONS),
    parameter("tz", "Zone of days, weeks and months, e.g. Europe/Berlin; default UTC"),
    parameter("limit", f"At most so many groups (1 to {MAX_LIMIT}, default {LIMIT})", type=OpenApiTypes.INT),
]


class Parameters:
    """The query string of a request, read with messages that say what to write instead."""

    def __init__(self, request: Request, *own: str) -> None:
        """`own`: the names this endpoint knows besides COMMON; a typo must not answer another question."""
        self.get = request.query_params
        known = (*own, *(one.name for one in COMMON))
        for name in self.get:
            if name not in known:
                raise bad(name, f"There is no parameter {name!r}.", f"Known: {', '.join(known)}.")
        key = key_of(request)
        self.team, self.environment = key.team, key.environment
        self.now = timezone.now()

    def names(self, name: str) -> tuple[str, ...]:
        """Values of a repeated parameter that also takes commas, each once."""
        parts = [part.strip() for text in self.get.getlist(name) for part in text.split(",")]
        return tuple(dict.fromkeys(part for part in parts if part))

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """Dimension → values. Another team is not found."""
        found = {name: values for name in DIMENSION_NAMES if (values := tuple(self.get.getlist(name)))}
        if any(slug != self.team.slug for slug in found.pop("team", ())):
            raise Http404("No such team for this key.")
        if any("\0" in value for values in found.values() for value in values):
            raise bad("filters", "A value holds a NUL character.", "Leave it out.")
        return {name: tuple("" if v == UNTAGGED else v for v in values) for name, values in found.items()}

    @property
    def zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.get.get("tz") or "UTC")
        except (KeyError, ValueError, OSError):
            raise bad("tz", "There is no such time zone.", "Use a name like Europe/Berlin.") from None

    def moment(self, name: str, default: datetime) -> datetime:
        """An instant; a time without a zone is refused, for nobody would know which is meant."""
        text = self.get.get(name)
        if not text:
            return default
        try:
            # A "+" that was not escaped arrives as a space.
            moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
        except ValueError:
            raise bad(name, f"{name} is not a time.", "Write it as 2026-01-31T14:00:00Z.") from None
        if moment.tzinfo is None:
            raise bad(name, f"{name} has no zone.", "Append Z, or an offset like %2B02:00.")
        if not 2000 <= moment.year <= 2200:
            raise bad(name, f"{name} is out of range.", "Use a year from 2000 to 2200.")
        return moment

    def choice(self, name: str, allowed: tuple[str, ...], default: Default) -> str | Default:
        value = self.get.get(name) or default
        if value is not None and value not in allowed:
            raise bad(name, f"There is no {name} {value[:40]!r}.", f"Use one of {', '.join(allowed)}.")
        return value

    @property
    def limit(self) -> int:
        text = self.get.get("limit") or str(LIMIT)
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
            raise bad("limit", "limit is out of range.", f"Use a whole number from 1 to {MAX_LIMIT}.")
        return int(text)

    def order(self, allowed: tuple[str, ...], default: str) -> str:
        """A column name, "-" before it for descending."""
        asked = self.get.get("order") or default
        if asked.removeprefix("-") not in allowed:
            raise bad(
                "order", f"Cannot order by {asked[:40]!r}.", f"Use one of {', '.join(allowed)}, with - for descending."
            )
        return asked


def bad(field: str, message: str, fix: str) -> ApiProblem:
    return ApiProblem(400, "invalid", message, field=field, fix=fix)


def refused(error: QueryError) -> ApiProblem:
    """The message of a QueryError ends with the way out."""
    message, _, fix = str(error).partition(". ")
    return bad(error.field, f"{message.rstrip('.')}.", fix or "See the catalogue in docs/api.md.")


# --- Output ---------------------------------------------------------------------------------------------------------
def _text(value: Any) -> Any:
    """Decimals as exact text, so that no client makes floats of money."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def _group(names: tuple[str, ...], key: tuple[str, ...]) -> dict[str, str]:
    return {name: value or UNTAGGED for name, value in zip(names, key, strict=True)}


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def times(start: datetime, end: datetime) -> dict[str, str]:
    return {"start": iso(start), "end": iso(end)}


ANSWER = inline_serializer(
    "Figures",
    {
        "window": serializers.DictField(help_text="start and end as answered: snapped outward to what is kept"),
        "previous_window": serializers.DictField(required=False, help_text="With compare"),
        "groups_total": serializers.IntegerField(help_text="Groups found; `limit` cuts the list"),
        "rows": serializers.ListField(help_text="group, at (with a step), values; previous (with compare)"),
    },
)
ERRORS = {400: OpenApiTypes.OBJECT, 401: OpenApiTypes.OBJECT, 403: OpenApiTypes.OBJECT, 404: OpenApiTypes.OBJECT}


class MetricsView(APIView):
    """Any metric by any dimension."""

    required_scope = "read"

    @extend_schema(
        operation_id="metrics",
        summary="Read metrics",
        tags=["figures"],
        description="Metrics by any breakdown, filter, window and step. USD are decimal text; null is unknown (with "
        "the number of calls of unknown cost beside it) or a rate of nothing.",
        parameters=[
            parameter("metric", "Metrics, repeated or with commas", many=True, required=True, enum=tuple(CATALOGUE)),
            parameter("step", "Width of the buckets; absent: one figure for the window", enum=STEPS),
            parameter("order", "Metric that ranks the groups, - for descending; default: the first, descending"),
            *COMMON,
        ],
        responses={200: ANSWER} | ERRORS,
    )
    def get(self, request: Request) -> Response:
        parameters = Parameters(request, "metric", "step", "order")
        try:
            return Response(_metrics(parameters))
        except QueryError as error:
            raise refused(error) from error


def _metrics(parameters: Parameters) -> dict[str, Any]:
    metrics = parameters.names("metric")
    if not metrics:
        raise bad("metric", "No metric was asked for.", f"Use one or more of {', '.join(CATALOGUE)}.")
    q = _metric_query(parameters, metrics)
    order = parameters.order(metrics, f"-{metrics[0]}")
    compare = parameters.choice("compare", COMPARISONS, "none")
    with one_snapshot():
        result = query(q, parameters.now)
        before = query(_earlier(q, result, compare), parameters.now) if compare != "none" else None
        keys = _ranked_keys(q, order, result, parameters.now)
    answer = {
        "window": times(result.start, result.end) | {"step": q.step, "tz": result.query.zone.key},
        "metrics": [_described(name) for name in metrics],
        "groups_total": len(keys),
        "rows": _rows(result, before, metrics, keys[: parameters.limit]),
    }
    return answer | ({"previous_window": times(before.start, before.end)} if before else {})


def _metric_query(parameters: Parameters, metrics: tuple[str, ...]) -> MetricQuery:
    end = parameters.moment("end", parameters.now)
    has_cost = any(CATALOGUE[name].unit == "USD" for name in metrics if name in CATALOGUE)
    return MetricQuery(
        metrics=tuple(dict.fromkeys((*metrics, *(COUNTS if has_cost else ())))),
        start=parameters.moment("start", end - timedelta(hours=24)),
        end=end,
        step=parameters.choice("step", STEPS, None),
        group_by=parameters.names("group_by"),
        filters=parameters.filters,
        team_ids=(parameters.team.pk,),
        zone=parameters.zone,
    )


def _earlier(q: MetricQuery, result: MetricResult, compare: str) -> MetricQuery:
    """The query over the period before the window as answered, so that the two share no minute."""
    window = Window(result.start, result.end)
    before = _period_before(window) if compare == "previous" else weeks_earlier(window, q.zone)
    return MetricQuery(**vars(q) | {"start": before.start, "end": before.end})


def _ranked_keys(q: MetricQuery, order: str, result: MetricResult, now: datetime) -> list[tuple[str, ...]]:
    """Groups in the asked order over the whole window, unknown last."""
    if not q.group_by:
        return [()]
    name = order.removeprefix("-")
    whole = result if q.step is None else query(MetricQuery(**vars(q) | {"metrics": (name,), "step": None}), now)
    ranked = [row.key for row in whole.ranked(name)]
    if order.startswith("-"):
        return ranked
    known = [row.key for row in whole.rows if row.values[name] is not None]
    return [key for key in reversed(ranked) if key in set(known)] + [key for key in ranked if key not in set(known)]


def _rows(result: MetricResult, before: MetricResult | None, metrics: tuple[str, ...], keys: list) -> list[dict]:
    moments: list[datetime | None] = [*result.buckets] or [None]
    earlier: list[datetime | None] = ([*before.buckets] or [None]) if before else []
    seen = {(row.key, row.at) for part in (result, before) if part for row in part.rows}
    return [
        _row(result, before, metrics, key, at, earlier[place] if place < len(earlier) else None)
        for key in keys
        for place, at in enumerate(moments)
        if not result.query.group_by or (key, at) in seen or (place < len(earlier) and (key, earlier[place]) in seen)
    ]


def _row(result, before, metrics, key, at, earlier) -> dict[str, Any]:
    row: dict[str, Any] = {"group": _group(result.query.group_by, key)}
    if at:
        row["at"] = iso(at)
    row |= _values(result, metrics, key, at)
    if before:
        row["previous"] = ({"at": iso(earlier)} if earlier else {}) | _values(before, metrics, key, earlier)
    return row


def _values(result: MetricResult, metrics: tuple[str, ...], key, at) -> dict[str, Any]:
    counted = {name: result.value(name, key, at) for name in COUNTS if name in result.query.metrics}
    values = {"values": {name: _text(result.value(name, key, at)) for name in metrics}}
    return values | ({"unknown": counted} if counted else {})


def _described(name: str) -> dict[str, str]:
    metric = CATALOGUE[name]
    return {"name": name, "label": metric.label, "unit": metric.unit, "description": metric.description}


class SpendView(APIView):
    """Spend by any dimensions, with what changed and why."""

    required_scope = "read"

    @extend_schema(
        operation_id="spend",
        summary="Read spend",
        tags=["figures"],
        description="The figures of the spend page: rows, `rest` (groups beyond the limit) and `total` add up exactly. "
        "With compare, `effects` splits each change into volume, tokens per call, and price with mix, in USD.",
        parameters=[parameter("order", "Column that ranks the groups, - for descending", enum=tuple(ORDERS)), *COMMON],
        responses={200: ANSWER} | ERRORS,
    )
    def get(self, request: Request) -> Response:
        parameters = Parameters(request, "order")
        try:
            report = spend_by(_spend_query(parameters))
        except QueryError as error:
            raise refused(error) from error
        return Response(_report(report, parameters.order(tuple(ORDERS), "-spend"), parameters.limit))


def _spend_query(parameters: Parameters) -> SpendQuery:
    zone, end = parameters.zone, parameters.moment("end", parameters.now)
    month = month_so_far(end, zone)
    # From a whole minute, so that the period before it shares none with it.
    window = Window(floor(parameters.moment("start", month.start), "minute", zone), end)
    compare = parameters.choice("compare", COMPARISONS, "none")
    before = {
        "none": lambda: None,
        "previous": lambda: month_before(window, zone) if window == month else _period_before(window),
        "week": lambda: weeks_earlier(window, zone),
    }[compare]()
    return SpendQuery(window, before, parameters.names("group_by"), (parameters.team.pk,), parameters.filters, zone)


def _period_before(window: Window) -> Window:
    return Window(window.start - (window.end - window.start), window.start)


def _report(report: SpendReport, order: str, limit: int) -> dict[str, Any]:
    names, groups = report.query.group_by, report.ranked(order)
    answer = {
        "window": times(report.window.start, report.window.end) | {"tz": report.query.zone.key},
        "groups_total": len(groups),
        "rows": [{"group": _group(names, group.key)} | _spend(group) for group in groups[:limit]],
        "rest": _spend(add_up(groups[limit:])) if groups[limit:] else None,
        "total": _spend(report.total),
    }
    return answer | ({"previous_window": times(report.before.start, report.before.end)} if report.before else {})


def _spend(group: Group) -> dict[str, Any]:
    values = _figures(group.now)
    if group.before is not None:
        values["previous"] = _figures(group.before)
    return values | ({"effects": _effects(group.effects)} if group.effects else {})


def _figures(figures: Figures) -> dict[str, Any]:
    values = {
        "spend_usd": figures.cost,
        "requests": figures.requests,
        "calls": figures.calls,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "cost_per_request_usd": figures.per_request,
        "cost_per_1k_tokens_usd": figures.per_1k_tokens,
        "unknown": {"unpriced_calls": figures.unpriced, "unmetered_calls": figures.unmetered},
    }
    return {name: _text(value) for name, value in values.items()}


def _effects(effects: Effects) -> dict[str, str]:
    return {f"{name}_usd": f"{getattr(effects, name):f}" for name in ("volume", "tokens", "price", "change")}
