"""Spend by any dimensions, beside an earlier period: the figures of the spend page, its CSV and GET /api/v1/spend."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from usage.metrics import MetricQuery, MetricResult, Row, query
from usage.metrics.asked import UTC_ZONE
from usage.rules.effects import Effects, Usage, split, total
from usage.rules.spend import Figures, Window

ADDITIVE = ("cost_usd", "requests", "calls", "input_tokens", "output_tokens", "unpriced_calls", "unmetered_calls")
# What tells calls of known cost from those of unknown cost.
PRICED_BY = ("provider", "model")
Key = tuple[str, ...]


@dataclass(frozen=True)
class SpendQuery:
    """Which spend: a window, perhaps the one it is compared with, teams (None: all), filters and dimensions.

    Without `effects` a comparison says how much, not why, for less than half the work.
    """

    window: Window
    before: Window | None = None
    group_by: Key = ()
    team_ids: tuple[int, ...] | None = None
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE
    effects: bool = True

    def metric_query(self, window: Window, group_by: Key, step: str | None = None, **filters) -> MetricQuery:
        """Raises QueryError where the roll-ups cannot answer, e.g. tenant with endpoint."""
        return MetricQuery(
            metrics=ADDITIVE,
            start=window.start,
            end=window.end,
            step=step,
            group_by=group_by,
            filters=self.filters | filters,
            team_ids=self.team_ids,
            zone=self.zone,
        )

    @property
    def has_rest(self) -> bool:
        """Whether some calls are in no group: figures by tenant hold only calls that name one."""
        return "tenant" in self.group_by and "tenant" not in self.filters


@dataclass(frozen=True)
class Group:
    """One row of a breakdown. Without a comparison `before` and `effects` are None; without effects, those."""

    key: Key
    now: Figures
    before: Figures | None = None
    effects: Effects | None = None


@dataclass(frozen=True)
class SpendReport:
    """Groups that add up to the total, to the last digit. `window` and `before` are as answered."""

    query: SpendQuery
    window: Window
    before: Window | None
    groups: list[Group]

    @cached_property
    def total(self) -> Group:
        return add_up(self.groups)

    def ranked(self, order: str = "-spend", named: Callable[[Key], Key] = tuple) -> list[Group]:
        """The groups by a column of ORDERS, descending with a "-"; what is unknown comes last. Ties by name.

        `named` gives the name of a key, where people read another than it.
        """
        name, descending = order.lstrip("-"), order.startswith("-")
        groups = sorted(self.groups, key=lambda group: named(group.key))
        value = ORDERS[name] if name != "name" else lambda group: named(group.key)
        known = [group for group in groups if value(group) is not None]
        return sorted(known, key=value, reverse=descending) + [group for group in groups if value(group) is None]


def change(group: Group):
    """USD more (or less, negative) than before; None where either side is unknown."""
    if group.before is None or group.now.cost is None or group.before.cost is None:
        return None
    return group.now.cost - group.before.cost


ORDERS = {
    "spend": lambda group: group.now.cost,
    "change": change,
    "requests": lambda group: group.now.requests,
    "calls": lambda group: group.now.calls,
    "tokens": lambda group: group.now.tokens,
    "per_request": lambda group: group.now.per_request,
    "per_1k_tokens": lambda group: group.now.per_1k_tokens,
    "name": lambda group: group.key,
}


def add_up(groups: list[Group]) -> Group:
    """One group of many; its effects are the sum of theirs."""
    before = [group.before for group in groups if group.before is not None]
    effects = [group.effects for group in groups if group.effects is not None]
    return Group(
        (),
        sum((group.now for group in groups), Figures()),
        sum(before, Figures()) if before else None,
        total(effects) if effects else None,
    )


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Every query inside sees the same data, so that parts read one after the other add up. Reading only."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def spend_by(q: SpendQuery) -> SpendReport:
    """The breakdown. Raises QueryError where the roll-ups cannot answer."""
    with one_snapshot():
        now, window = _read(q, q.window)
        if q.before is None:
            groups = [Group(key, _figures(rows)) for key, rows in now.items()]
            return SpendReport(q, window, None, groups)
        then, before = _read(q, q.before)
    groups = [_compared(key, now.get(key, []), then.get(key, []), q.effects) for key in now | then]
    return SpendReport(q, window, before, groups)


def spend_over_time(q: SpendQuery, window: Window, step: str) -> MetricResult:
    """Spend and unit costs of everything by step."""
    return query(_only(q.metric_query(window, (), step), "cost_usd", "cost_per_request", "cost_per_1k_tokens"))


def groups_over_time(q: SpendQuery, keys: list[Key], step: str) -> MetricResult:
    """Spend by step of these groups (and of some others that share a value with them)."""
    wanted = {name: tuple({key[place] for key in keys}) for place, name in enumerate(q.group_by)}
    return query(_only(q.metric_query(q.window, q.group_by, step, **wanted), "cost_usd"))


def _only(q: MetricQuery, *metrics: str) -> MetricQuery:
    return MetricQuery(**vars(q) | {"metrics": metrics})


# --- Reading --------------------------------------------------------------------------------------------------------
def _read(q: SpendQuery, window: Window) -> tuple[dict[Key, list[Figures]], Window]:
    """Key → figures of its parts, by provider and model; and the window as answered."""
    extra = tuple(name for name in PRICED_BY if name not in q.group_by) if q.before and q.effects else ()
    names = (*q.group_by, *extra)
    result = query(q.metric_query(window, names))
    parts = {row.key: _of_row(row) for row in result.rows}
    if q.has_rest:
        parts |= _rest(q, window, names, parts)
    found: dict[Key, list[Figures]] = defaultdict(list)
    for key, figures in parts.items():
        if figures:
            found[key[: len(q.group_by)]].append(figures)
    return found, Window(result.start, result.end)


def _rest(q: SpendQuery, window: Window, names: Key, parts: dict[Key, Figures]) -> dict[Key, Figures]:
    """What names no tenant, by the other dimensions: everything less what names one."""
    place = names.index("tenant")
    wide = {row.key: _of_row(row) for row in query(q.metric_query(window, _without(names, place))).rows}
    for key, figures in parts.items():
        wide[_without(key, place)] = wide.get(_without(key, place), Figures()) - figures
    return {(*key[:place], "", *key[place:]): figures for key, figures in wide.items()}


def _without(key: Key, place: int) -> Key:
    return key[:place] + key[place + 1 :]


def _of_row(row: Row) -> Figures:
    values = row.values
    return Figures(values["cost_usd"] or Decimal(0), *(values[name] for name in ADDITIVE[1:]))


def _figures(parts: list[Figures]) -> Figures:
    return sum(parts, Figures())


def _compared(key: Key, now: list[Figures], then: list[Figures], effects: bool) -> Group:
    return Group(key, _figures(now), _figures(then), split(_usage(then), _usage(now)) if effects else None)


def _usage(parts: list[Figures]) -> Usage:
    """What the effects are computed of: models all of whose calls have an unknown cost are left out, tokens and all."""
    known = _figures([part for part in parts if part.cost is not None])
    return Usage(known.known, known.calls, known.tokens)
