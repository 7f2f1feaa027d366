"""Finding events: keyset pages over a scope, and look-ups by any id."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import BigIntegerField, BooleanField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.expressions import RawSQL

from usage.models import Series, UsageEvent
from usage.queries.recent import recent
from usage.scope import Scope

HOUR = timedelta(hours=1)
FIRST_PIECE = timedelta(hours=12)
PAGE = 50
# Ids with a bloom index over the whole retention, and those sought in the end of the window only.
INDEXED_IDS = ("event_id", "trace_id", "conversation_id", "request_id")
OTHER_IDS = ("span_id", "session_id", "user_hash")
FOUND = 500
# Dimensions of a series an event page can be filtered by, besides those of every page.
EXTRA_FILTERS = (
    "status", "error_type", "operation", "endpoint", "region", "service", "release", "prompt_version", "variant",
    "cost_center", "tool_name", "fallback_from", "experiment", "initiator",
)  # fmt: skip
COST_STATES = {"priced": 1, "unpriced": 2, "unmetered": 3}


@dataclass(frozen=True)
class After:
    """Where a page begins: just below this event, in (occurred_at, event_id) order."""

    at: datetime
    event_id: str

    def __str__(self) -> str:
        return f"{self.at.astimezone(UTC).isoformat()}~{self.event_id}"

    @classmethod
    def parse(cls, text: str) -> "After | None":
        at, _, event_id = text.partition("~")
        try:
            return cls(datetime.fromisoformat(at.replace(" ", "+")), event_id)
        except ValueError:
            return None


@dataclass(frozen=True)
class Wanted:
    """What the events page shows: the scope, more filters on the series, the cost state, only requests or retries."""

    scope: Scope
    series: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cost_state: int | None = None
    entries_only: bool = False
    retried_only: bool = False

    @property
    def series_filters(self) -> dict[str, tuple[str, ...]]:
        own = {name: values for name, values in self.scope.filters.items() if name != "tenant"}
        return own | self.series

    def matching_series(self) -> list[int] | None:
        """Ids of the series that match, which may be thousands; None when all do."""
        if not self.series_filters and not self.entries_only:
            return None
        conditions: dict[str, Any] = {f"{name}__in": values for name, values in self.series_filters.items()}
        if self.entries_only:
            conditions["entry"] = True
        found = Series.objects.filter(team_id__in=self.scope.team_ids, **conditions)
        return sorted(found.values_list("id", flat=True))


def page_of(wanted: Wanted, after: After | None) -> tuple[list[UsageEvent], After | None]:
    """The next PAGE events, newest first, with `series` set on each; and where the page after begins."""
    ids = wanted.matching_series()
    events: list[UsageEvent] = []
    if ids != []:
        end = min(wanted.scope.end, after.at + timedelta(microseconds=1)) if after else wanted.scope.end
        for start, stop in _stretches(wanted, ids, end):
            found = _between(wanted, ids, start, stop, after)
            events += found[: PAGE + 1 - len(events)]
            if len(events) > PAGE:
                break
    shown = events[:PAGE]
    older = After(shown[-1].occurred_at, shown[-1].event_id) if len(events) > PAGE else None
    return with_series(shown), older


def _between(
    wanted: Wanted, ids: list[int] | None, start: datetime, stop: datetime, after: After | None
) -> list[UsageEvent]:
    found = UsageEvent.objects.filter(team_id__in=wanted.scope.team_ids, occurred_at__gte=start, occurred_at__lt=stop)
    if ids is not None:
        # One array: as a list, each of thousands of ids would be a parameter. Of bigint, or it is not hashed.
        found = found.filter(RawSQL("series_id = ANY(%s::bigint[])", [ids], BooleanField()))
    if tenants := wanted.scope.filters.get("tenant"):
        named = Q(tenant__in=[tenant for tenant in tenants if tenant])
        found = found.filter(named | Q(tenant=None) if "" in tenants else named)
    if wanted.cost_state is not None:
        found = found.filter(cost_state=wanted.cost_state)
    if wanted.retried_only:
        found = found.filter(retry_count__gt=0)
    if after:
        found = found.filter(Q(occurred_at__lt=after.at) | Q(occurred_at=after.at, event_id__lt=after.event_id))
    return list(found.order_by("-occurred_at", "-event_id")[: PAGE + 1])


def _stretches(wanted: Wanted, ids: list[int] | None, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Stretches of the window that may hold matches, latest first, so that a page never reads hours without any.

    The roll-ups say which hours hold the series; hours not rolled up yet are always looked at.
    """
    start = wanted.scope.start
    hours = (hour for first, last in _pieces(start, end) for hour in _hours(wanted, ids, first, last))
    for first, last in _runs(hours):
        yield max(first, start), min(last + HOUR, end)


def _pieces(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The window cut at whole hours, latest first, each piece longer than the one before: the first often suffices."""
    length = FIRST_PIECE
    while end > start:
        first = max(start, (end - length).replace(minute=0, second=0, microsecond=0))
        yield first, end
        end, length = first, length * 5


def _hours(wanted: Wanted, ids: list[int] | None, start: datetime, end: datetime) -> list[datetime]:
    """Hours with matches or still to be rolled up, latest first."""
    tenants = [tenant for tenant in wanted.scope.filters.get("tenant", ()) if tenant]
    by_tenant = bool(tenants) and "" not in wanted.scope.filters["tenant"]
    parameters: dict[str, Any] = {
        "teams": list(wanted.scope.team_ids),
        "start": start.replace(minute=0, second=0, microsecond=0),
        "end": end,
        "ids": ids,
        "tenants": tenants,
    }
    # A tenant's roll-ups are on narrow series, so there the series are left to the events.
    matching = (
        " AND tenant = ANY(%(tenants)s)"
        if by_tenant
        else " AND series_id = ANY(%(ids)s::bigint[])"
        if ids is not None
        else ""
    )
    cost = {2: " AND unpriced > 0", 3: " AND unmetered > 0"}.get(wanted.cost_state or 0, "")
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT bucket FROM usage_{"tenant_" if by_tenant else ""}hour
            WHERE team_id = ANY(%(teams)s) AND bucket >= %(start)s AND bucket < %(end)s{matching}{cost}
            UNION
            SELECT date_trunc('hour', bucket, 'UTC') FROM usage_rollup_mark
            WHERE tier IN (0, 1) AND team_id = ANY(%(teams)s) AND bucket >= %(start)s AND bucket < %(end)s
            ORDER BY 1 DESC
            """,
            parameters,
        )
        return [bucket.astimezone(UTC) for (bucket,) in cursor.fetchall()]


def _runs(hours: Iterable[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """(first, last) of at most six hours in a row, latest first; the very latest hour alone, for it often suffices."""
    run: list[datetime] = []
    alone = True
    for hour in hours:
        if run and (run[-1] - hour != HOUR or len(run) == 6 or alone):
            yield run[-1], run[0]
            run, alone = [], False
        run.append(hour)
    if run:
        yield run[-1], run[0]


def with_series(events: list[UsageEvent]) -> list[UsageEvent]:
    """Set `series` on each event, with one query."""
    wanted = {(event.team_id, event.series_id) for event in events}
    found = Series.objects.filter(team_id__in={team for team, _ in wanted}, id__in={id for _, id in wanted})
    known = {(series.team_id, series.id): series for series in found}
    for event in events:
        event.series = known[event.team_id, event.series_id]
    return events


def search(scope: Scope, text: str) -> list[UsageEvent]:
    """Events with this exact id, newest first, at most FOUND.

    Event, trace, conversation and request ids are sought in everything kept; span, session and user ids in the end of
    the window (usage.queries.recent).
    """
    for name in INDEXED_IDS:
        if found := _with_id(scope, name, text):
            return found
    last = recent(scope)
    conditions = Q()
    for name in OTHER_IDS:
        conditions |= Q(**{name: text})
    within = Q(occurred_at__gte=last.start, occurred_at__lt=last.end)
    return _newest(UsageEvent.objects.filter(within & conditions, team_id__in=scope.team_ids))


def dimension_with(scope: Scope, value: str) -> str:
    """The filter that has this very value (model, feature, provider, environment or tenant); '' if none has."""
    return next((name for name, choices in scope.choices.items() if any(value == one for one, _, _ in choices)), "")


def _with_id(scope: Scope, name: str, value: str) -> list[UsageEvent]:
    with id_lookup():
        return _newest(with_id(scope.team_ids, name, value))


def with_id(team_ids: Iterable[int], name: str, value: str) -> QuerySet[UsageEvent]:
    """Events of these teams with that id, sought by its bloom index; to be read inside `id_lookup`.

    The team is compared as an expression: as a column it would draw the planner to the primary key, which leads with
    the team and knows nothing of the id.
    """
    if "\0" in value:  # no id has one, and PostgreSQL refuses to look for it
        return UsageEvent.objects.none()
    owner = ExpressionWrapper(F("team_id") + 0, output_field=BigIntegerField())
    return UsageEvent.objects.annotate(owner=owner).filter(owner__in=list(team_ids), **{name: value})


@contextmanager
def id_lookup() -> Iterator[None]:
    """A transaction whose plans use the bloom indexes, which the planner underrates: it expects them to be lossier."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        yield


def _newest(found: QuerySet[UsageEvent]) -> list[UsageEvent]:
    return with_series(list(found.order_by("-occurred_at", "-event_id")[:FOUND]))
