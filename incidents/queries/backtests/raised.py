"""How often a rule would have answered for what other parts of the desk found, and what rules of the desk raised."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Q

from accounts.models import Team
from incidents.models import Alert, AlertRule
from incidents.queries.backtests.replay import Backtest, Drawn, Span, Tried, ranked
from incidents.rules.answering import answers
from incidents.sources import Episode, Past, Source, source_of

ONLY_RAISED = "What it found before is not kept, only its alerts: these are the ones the rule would have answered for."
DESK_KEEPS_NOTHING = (
    "What the desk measures of itself is not kept. These are the alerts that rules about the same raised; with "
    "another threshold they would have been others."
)


def try_source(rule: AlertRule, allowed: list[int], now: datetime, days: int) -> Backtest:
    """A rule of kind anomaly or budget: the episodes of its source that it answers for."""
    source, start = source_of(str(rule.options.get("source", ""))), now - timedelta(days=days)
    if source is None:
        raise ValueError("The source of this rule is not known.")
    budget = str(rule.options.get("budget", ""))
    teams = [rule.team_id] if rule.team_id else [*allowed, None]
    past = source.past(teams, budget, start, now) if source.past else _raised(source, allowed, start)
    mine = [one for one in past.episodes if rule.team_id in (None, one.team_id)]
    found = _by_key(one for one in mine if answers(rule, one.severity, one.labels))
    names = dict(Team.objects.values_list("pk", "name"))
    # The one that fired most is drawn.
    groups = sorted(found.values(), key=lambda group: (len(_spans(group)), group[-1].start), reverse=True)
    sets = [_tried(group, names) for group in groups]
    course = source.course(groups[0][-1], start, now) if groups and source.course else None
    if course:
        sets[0] = replace(sets[0], points=course.points)
    drawn = Drawn(course.unit, course.threshold) if course else None
    return Backtest(start, now, "", 1, 1, sets, since=past.since, note=past.note, drawn=drawn)


def _by_key(episodes: Iterable[Episode]) -> dict[str, list[Episode]]:
    found: dict[str, list[Episode]] = defaultdict(list)
    for one in sorted(episodes, key=lambda one: one.start):
        found[one.key].append(one)
    return found


def _tried(found: list[Episode], names: dict[int, str]) -> Tried:
    last = found[-1]
    return Tried(names.get(last.team_id or 0, "All teams"), last.shown, {}, _spans(found))


def _spans(episodes: Iterable[Episode]) -> list[Span]:
    """Those of one alert that touch are one: it went on. In order of their starts."""
    found: list[Span] = []
    last = ""
    for one in episodes:
        if found and last == one.alert and (found[-1].end is None or found[-1].end >= one.start):
            before = found.pop()
            ends = (before.end, one.end)
            found.append(Span(before.start, None if None in ends else max(filter(None, ends))))
        else:
            found.append(Span(one.start, one.end))
        last = one.alert
    return found


def _raised(source: Source, allowed: list[int], start: datetime) -> Past:
    """The alerts of the source that are kept."""
    kept = Alert.objects.filter(Q(resolved_at=None) | Q(resolved_at__gt=start), source_kind=source.key)
    kept = kept.filter(Q(team__in=allowed) | Q(team=None)).select_related("rule")
    return Past([_episode(one) for one in kept], None, ONLY_RAISED)


def _episode(alert: Alert) -> Episode:
    """As its source raised it: the rule that answered for it may have changed the severity."""
    severity = str(alert.rule.options.get("when", alert.severity)) if alert.rule else alert.severity
    what = {"about": alert.title}
    key, times = alert.source_key, (alert.started_at, alert.resolved_at)
    return Episode(key, str(alert.pk), alert.team_id, severity, alert.labels, what, *times)


def try_desk(rule: AlertRule, allowed: list[int], now: datetime, days: int) -> Backtest:
    """The alerts that rules about the same fact of the desk raised: its measurements are not kept."""
    start = now - timedelta(days=days)
    kept = Alert.objects.filter(Q(resolved_at=None) | Q(resolved_at__gt=start), rule__kind=AlertRule.Kind.DESK)
    kept = kept.filter(rule__metric=rule.metric).select_related("rule").order_by("started_at")
    found: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for one in kept:
        name = one.rule.name if one.rule else ""
        found[name, one.labels.get("queue", "")].append(Span(one.started_at, one.resolved_at))
    sets = [
        Tried("The desk", {"rule": name} | ({"queue": queue} if queue else {}), {}, spans)
        for (name, queue), spans in found.items()
    ]
    return Backtest(start, now, "", 1, 1, ranked(sets), note=DESK_KEEPS_NOTHING)
