"""The facts of a cost report, as plain JSON: amounts are decimal text in USD, so that an archived report stays exact.

Every section says what was known when it was made; what there is nothing of is an empty list or null, never a zero
that nobody measured.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, Q, Sum, When

from accounts.models import Team
from budgets.models import BacklogItem, Commitment, Forecast, GuardCount
from budgets.models.budgets import UNIT_LABELS
from budgets.queries.forecasts import of_spend
from budgets.rules.weeks import WEEK
from incidents.models import Alert, Control
from usage.links import explain_url
from usage.metrics import QueryError
from usage.queries.explain import Question, explain
from usage.queries.explained import EXPLAINED
from usage.queries.spend import Group, SpendQuery, change, one_snapshot, spend_by
from usage.rules.finding import finding
from usage.rules.spend import Figures, Window

DIMENSIONS = ("team", "feature", "model", "prompt_version")
TAGS = ("feature", "cost_center", "tenant")
TOP, LISTED = 5, 10
# Critical alerts first.
WORST = Case(When(severity=Alert.Severity.CRITICAL, then=0), default=1)
UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class About:
    """What a report is about: a team (None: the organisation), its window, and the same stretch of the week before."""

    team: Team | None
    window: Window

    @property
    def before(self) -> Window:
        return Window(self.window.start - WEEK, self.window.end - WEEK)

    @property
    def team_ids(self) -> tuple[int, ...] | None:
        return (self.team.pk,) if self.team else None

    @property
    def of_team(self) -> Q:
        return Q(team=self.team) | Q(team=None) if self.team else Q()

    def spend(self, dimension: str, **filters) -> SpendQuery:
        return SpendQuery(self.window, self.before, (dimension,), self.team_ids, filters)


def gather(team: Team | None, start: datetime, end: datetime, now: datetime) -> dict[str, Any]:
    """All facts of the report of [start, end)."""
    about = About(team, Window(start, end))
    names = dict(Team.objects.values_list("slug", "name"))
    with one_snapshot():
        whole = spend_by(about.spend("team")).total
        changes = [_changes(about, name, names) for name in DIMENSIONS if name != "team" or team is None]
        return {
            "spend": _figures(whole),
            "changes": changes,
            "driver": _driver(about, now),
            "guardrails": _guardrails(about),
            "forecast": _forecast(team, now),
            "over": _over(about, now),
            "unpriced": _unpriced(about),
            "untagged": [fact for name in TAGS if (fact := _untagged(about, name))],
            "backlog": _backlog(about),
            "commitments": _commitments(about, end),
        }


def _figures(group: Group) -> dict[str, Any]:
    before = group.before or Figures()
    return {
        "cost": _text(group.now.cost),
        "before": _text(before.cost),
        "change": _text(change(group)),
        "requests": group.now.requests,
        "requests_before": before.requests,
        "unknown": group.now.unknown,
    }


def _changes(about: About, dimension: str, names: dict[str, str]) -> dict[str, Any]:
    """What moved most of one dimension, by size of the change either way."""
    moved = [(group, amount) for group in spend_by(about.spend(dimension)).groups if (amount := change(group))]
    moved.sort(key=lambda pair: (-abs(pair[1]), pair[0].key))
    rows = [{"name": names.get(group.key[0], group.key[0]) if dimension == "team" else group.key[0]} | _figures(group)
            for group, _ in moved[:TOP]]  # fmt: skip
    return {"dimension": dimension, "rows": rows, "more": max(len(moved) - TOP, 0)}


def _driver(about: About, now: datetime) -> dict[str, str] | None:
    """Who drove it, in words; None where the roll-ups cannot tell."""
    question = Question(EXPLAINED["spend"], about.window, about.before, about.team_ids)
    try:
        found = explain(question, now)
    except QueryError:
        return None
    team = about.team.slug if about.team else ""
    return {"finding": finding(found, UTC_ZONE), "url": explain_url("spend", about.window, about.before, team=team)}


def _guardrails(about: About) -> dict[str, Any]:
    """Controls that were set, calls the guard denied or degraded, and alerts that began in the window."""
    start, end = about.window.start, about.window.end
    controls = Control.objects.filter(about.of_team, created_at__gte=start, created_at__lt=end).select_related("team")
    counts = GuardCount.objects.filter(minute__gte=start, minute__lt=end)
    if about.team:
        counts = counts.filter(team_id=about.team.pk)
    answers = counts.values("decision", "code").annotate(calls=Sum("count")).order_by("-calls")
    alerts = Alert.objects.filter(about.of_team, started_at__gte=start, started_at__lt=end)
    return {
        "controls": [
            {
                "what": f"{one.get_kind_display()}{f' {one.get_mode_display().lower()}' if one.mode else ''}",
                "scope": one.scope_label,
                "reason": one.reason,
                "by": one.get_origin_display(),
                "at": one.created_at.isoformat(),
            }
            for one in controls[:LISTED]
        ],
        "controls_count": controls.count(),
        "answers": list(answers[:LISTED]),
        "alerts": [
            {
                "title": one.title,
                "severity": one.severity,
                "open": one.is_firing,
                "team": one.team.name if one.team and not about.team else "",
            }
            for one in alerts.select_related("team").order_by(WORST, "-started_at")[:LISTED]
        ],
        "alerts_count": alerts.count(),
    }


def _forecast(team: Team | None, now: datetime) -> dict[str, Any] | None:
    """The month's forecast as it is kept; None where there is none."""
    found = of_spend(team, now)
    if found is None or found.expected is None:
        return None
    names = ("spent", "expected", "low80", "high80")
    return {name: _text(getattr(found, name)) for name in names} | {"ends_at": found.period_end.isoformat()}


def _over(about: About, now: datetime) -> list[dict[str, Any]]:
    """Budgets that are expected to be exceeded in their present period, furthest first."""
    mine = Q(budget__team=about.team) if about.team else Q(budget__isnull=False)
    found = Forecast.objects.filter(mine, budget__is_active=True, period_end__gt=now, expected__gt=F("limit"))
    return [
        {
            "name": one.name,
            "unit": UNIT_LABELS[one.unit],
            "expected": _text(one.expected),
            "limit": _text(one.limit),
            "used_up": one.exhausted_on.isoformat() if one.exhausted_on else None,
        }
        for one in found.select_related("budget__team").defer("days").order_by(-F("expected") / F("limit"))[:TOP]
    ]


def _unpriced(about: About) -> dict[str, Any]:
    groups = spend_by(SpendQuery(about.window, group_by=("provider", "model"), team_ids=about.team_ids)).groups
    unknown = sorted((group for group in groups if group.now.unpriced), key=lambda group: -group.now.unpriced)
    return {
        "calls": sum(group.now.unpriced for group in groups),
        "unmetered": sum(group.now.unmetered for group in groups),
        "models": [
            {"model": " ".join(filter(None, group.key)), "calls": group.now.unpriced} for group in unknown[:TOP]
        ],
    }


def _untagged(about: About, name: str) -> dict[str, Any] | None:
    figures = spend_by(about.spend(name, **{name: ("",)})).total.now
    return {"dimension": name, "cost": _text(figures.cost), "requests": figures.requests} if figures else None


def _backlog(about: About) -> dict[str, Any]:
    items = BacklogItem.objects.filter(team=about.team) if about.team else BacklogItem.objects.all()
    states = items.values("state").annotate(number=Count("pk"), saving=Sum("monthly_saving")).order_by("state")
    return {
        "states": [{**row, "saving": _text(row["saving"])} for row in states],
        "done": [one.idea for one in items.filter(state="done", updated_at__gte=about.window.start)[:TOP]],
    }


def _commitments(about: About, end: datetime) -> list[dict[str, Any]]:
    """Open ones due until the end of the week after the report's, overdue ones first."""
    last = (end + WEEK + timedelta(days=1)).date()
    open_ones = Commitment.objects.filter(about.of_team, done_at=None, due_on__lte=last).select_related("team")
    return [
        {
            "text": one.text,
            "owner": one.owner,
            "due": one.due_on.isoformat(),
            "overdue": one.due_on < end.date(),
            "team": one.team.name if one.team else "",
        }
        for one in open_ones
    ]


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
