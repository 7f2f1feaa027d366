"""What alert rules measure: rules that ask alike share one metric query, over every team at once."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from statistics import median

from django.db import DatabaseError, connection, transaction

from accounts.models import Team
from incidents.models import AlertRule
from incidents.rules.alert_rules import Reading, ratio
from incidents.rules.measured import is_compared
from usage.metrics import CATALOGUE, MetricQuery, QueryError, query
from usage.metrics.metric import Percentile, Sum

MINUTE, HOUR, DAY, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)
# A query of rules that takes longer has failed: the others are evaluated all the same.
LONGEST_QUERY = "15s"
# What a rule that asks for the impossible raises.
FAILS = (QueryError, DatabaseError, ArithmeticError, ValueError, TypeError)
METRIC_KINDS = (AlertRule.Kind.THRESHOLD, AlertRule.Kind.BASELINE, AlertRule.Kind.NO_DATA)


Teams = tuple[int, ...] | None


@dataclass(frozen=True)
class LabelSet:
    """One reading of a rule: of a team (None: the organisation) and the values of its breakdown."""

    team_id: int | None
    labels: dict[str, str]
    reading: Reading

    @property
    def key(self) -> str:
        """The labels in one canonical line of at most 300 characters."""
        return canonical(self.labels)


def canonical(labels: dict[str, str]) -> str:
    return "|".join(f"{name}={value}" for name, value in sorted(labels.items()))[:300]


@dataclass(frozen=True)
class Ask:
    """What several rules read alike: one metric query."""

    window_seconds: int
    filters: tuple[tuple[str, tuple[str, ...]], ...]
    breakdown: tuple[str, ...]

    @staticmethod
    def of(rule: AlertRule) -> "Ask":
        filters = tuple(sorted((name, tuple(sorted(values))) for name, values in rule.filters.items()))
        return Ask(rule.window_seconds, filters, tuple(rule.breakdown))

    def query(
        self, metrics: Iterable[str], start: datetime, end: datetime, teams: tuple[int, ...] | None
    ) -> MetricQuery:
        names = tuple(dict.fromkeys(metrics))
        by = ("team", *self.breakdown)
        return MetricQuery(names, start, end, group_by=by, filters=dict(self.filters), team_ids=teams)


Figures = dict[tuple[str, ...], dict[str, object]]
# Weeks looked back → metric → group → what is usual.
Baselines = dict[int, dict[str, dict[tuple[str, ...], Decimal]]]


@dataclass
class Found:
    """Rule's id → its label sets, and → why it could not be read."""

    sets: dict[int, list[LabelSet]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)


def window_of(seconds: int, now: datetime) -> tuple[datetime, datetime]:
    """The last whole minutes up to and with the one that is running: never longer than the window asked for."""
    end = now.replace(second=0, microsecond=0) + MINUTE
    return end - timedelta(seconds=seconds), end


@cache
def sample_of(metric: str) -> str:
    """The metric that counts what `metric` is a share or a quantile of: its sample."""
    of = CATALOGUE.get(metric)
    if of is None:
        return metric  # the query refuses it with a message
    if isinstance(of.value, Percentile):
        return "calls" if of.value.where == "s.is_call" else "requests" if of.value.where else "events"
    counts = {one.value: name for name, one in CATALOGUE.items() if one.unit == "count" and not one.per_time}
    return counts.get(of.per, "requests") if isinstance(of.per, Sum) else "requests"


def read(rules: Sequence[AlertRule], now: datetime) -> Found:
    """Everything the metric rules measure at `now`. A rule that cannot be read spoils no other."""
    found = Found()
    slugs = dict(Team.objects.values_list("slug", "pk"))
    together: dict[Ask, list[AlertRule]] = defaultdict(list)
    for rule in rules:
        together[Ask.of(rule)].append(rule)
    for ask, alike in together.items():
        try:
            found.sets |= _read_alike(ask, alike, now, slugs)
        except FAILS:
            for rule in alike:
                try:
                    found.sets |= _read_alike(ask, [rule], now, slugs)
                except FAILS as error:
                    found.failures[rule.pk] = str(error).strip()[:500] or type(error).__name__
    return found


def _read_alike(
    ask: Ask, rules: Sequence[AlertRule], now: datetime, slugs: dict[str, int]
) -> dict[int, list[LabelSet]]:
    start, end = window_of(ask.window_seconds, now)
    teams = (
        None if any(rule.team_id is None for rule in rules) else tuple({rule.team_id for rule in rules if rule.team_id})
    )
    metrics = list(dict.fromkeys(name for rule in rules for name in (metric_of(rule), sample_of(metric_of(rule)))))
    current = _figures(ask.query(metrics, start, end, teams), now)
    compared = [rule for rule in rules if is_compared(rule)]
    before = _baselines(ask, compared, (start, end), teams, now) if compared else {}
    return {rule.pk: list(_label_sets(rule, current, before, slugs)) for rule in rules}


def metric_of(rule: AlertRule) -> str:
    return rule.metric or "requests"


def _figures(q: MetricQuery, now: datetime) -> Figures:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{LONGEST_QUERY}'")
        found = {row.key: row.values for row in query(q, now).rows}
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")
    return found


def _label_sets(rule: AlertRule, current: Figures, before: Baselines, slugs: dict[str, int]) -> Iterator[LabelSet]:
    metric, sample = metric_of(rule), sample_of(metric_of(rule))
    known = before.get(rule.baseline_weeks, {}).get(metric, {}) if is_compared(rule) else {}
    missing = known.keys() if rule.kind != AlertRule.Kind.THRESHOLD else set()
    for key in current.keys() | missing:
        team = slugs.get(key[0])
        if team is None or rule.team_id not in (None, team):
            continue
        values = current.get(key, {})
        reading = _reading(rule, values.get(metric), values.get(sample), known.get(key))
        yield LabelSet(team, dict(zip(rule.breakdown, key[1:], strict=True)), reading)


def _reading(rule: AlertRule, value: object, events: object, reference: Decimal | None) -> Reading:
    known = None if value is None else Decimal(str(value))
    count = int(str(events)) if events is not None else 0
    if rule.kind == AlertRule.Kind.THRESHOLD:
        return Reading(known, count, reference)
    if rule.kind == AlertRule.Kind.NO_DATA:
        enough = reference is not None and reference >= rule.min_events
        return Reading(Decimal(count) if enough else None, None, reference)
    floor = Decimal(str(rule.options.get("floor", 0)))
    return Reading(ratio(known, reference, floor), count, reference)


# --- Baselines --------------------------------------------------------------------------------------------------
def _baselines(
    ask: Ask,
    rules: Sequence[AlertRule],
    window: tuple[datetime, datetime],
    teams: tuple[int, ...] | None,
    now: datetime,
) -> Baselines:
    """Weeks → metric → group → the median of the same hours of so many earlier weeks, for a window of this length.

    Whole hours around the window, because minutes are kept for days only. A group that no week knows is compared with
    the day before. Sums and counts are made as long as the window is.
    """
    start, end = window
    hours = start.replace(minute=0), end + (-(end - end.replace(minute=0)) % HOUR)
    part = Decimal((end - start) / MINUTE) / Decimal((hours[1] - hours[0]) / MINUTE)
    metrics = list(dict.fromkeys(metric_of(rule) for rule in rules))
    samples = [sample_of(name) for name in metrics]

    def at(ago: timedelta) -> Figures:
        return _figures(ask.query([*metrics, *samples], hours[0] - ago, hours[1] - ago, teams), now)

    weeks = [at(WEEK * number) for number in range(1, max(rule.baseline_weeks for rule in rules) + 1)]
    yesterday = at(DAY)
    found: Baselines = {}
    for count in {rule.baseline_weeks for rule in rules}:
        found[count] = {name: _usual(name, weeks[:count], yesterday, part) for name in metrics}
    return found


def _usual(metric: str, weeks: Sequence[Figures], yesterday: Figures, part: Decimal) -> dict[tuple[str, ...], Decimal]:
    scale = part if is_additive(metric) else Decimal(1)
    found: dict[tuple[str, ...], list[Decimal]] = defaultdict(list)
    for figures in weeks:
        for key, values in figures.items():
            if values[metric] is not None:
                found[key].append(Decimal(str(values[metric])) * scale)
    for key, values in yesterday.items():
        if key not in found and values[metric] is not None:
            found[key].append(Decimal(str(values[metric])) * scale)
    return {key: median(values) for key, values in found.items()}


def is_additive(metric: str) -> bool:
    """Whether twice the window is twice the figure: a sum or count that is divided by nothing."""
    of = CATALOGUE[metric]
    return isinstance(of.value, Sum) and of.per is None and not of.per_time
