"""The showback of a month: groups with their own cost, their part of shared costs, and what is not tagged."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from accounts.models import Team
from budgets.models import SharedCost
from budgets.rules.showback import Bearer, shares_of
from usage.queries.spend import Group, SpendQuery, one_snapshot, spend_by
from usage.rules.spend import Figures, Window

DIMENSIONS = ("team", "feature", "tenant", "cost_center")
TAGS = ("feature", "cost_center")  # those that all figures know; figures by tenant are kept apart


@dataclass(frozen=True)
class Line:
    """One group of the showback. `shared`: USD of shared costs it bears; a shared group gives its own away."""

    name: str
    label: str
    figures: Figures
    shared: Decimal
    method: str = ""

    @property
    def own(self) -> Decimal:
        return self.figures.known

    @property
    def total(self) -> Decimal:
        return self.own + self.shared


@dataclass(frozen=True)
class Showback:
    """Lines, dearest first; their totals add up to the spend of the window, to the last digit."""

    dimension: str
    start: datetime
    end: datetime
    lines: list[Line]

    @cached_property
    def spend(self) -> Figures:
        return sum((line.figures for line in self.lines), Figures())

    @property
    def has_shared(self) -> bool:
        return any(line.method for line in self.lines)


def showback(teams: Collection[Team], dimension: str, start: datetime, end: datetime, *, split: bool) -> Showback:
    """The month by one dimension. `split`: share out what is shared (for who sees every team)."""
    ids = tuple(team.pk for team in teams)
    names = {team.slug: team.name for team in teams}
    report = spend_by(SpendQuery(Window(start, end), group_by=(dimension,), team_ids=ids))
    methods = dict(SharedCost.objects.filter(dimension=dimension).values_list("value", "method")) if split else {}
    bearers = [_bearer(group, methods) for group in report.groups]
    parts = shares_of(bearers)
    lines = [
        Line(one.name, names.get(one.name, one.name), group.now, parts[one.name], one.method)
        for one, group in zip(bearers, report.groups, strict=True)
    ]
    return Showback(dimension, start, end, sorted(lines, key=lambda line: (-line.total, line.label)))


def _bearer(group: Group, methods: dict[str, str]) -> Bearer:
    name = group.key[0]
    return Bearer(name, group.now.known, group.now.requests, methods.get(name, ""))


def untagged(team_ids: tuple[int, ...], start: datetime, end: datetime) -> dict[str, Figures]:
    """Dimension → what names no value of it: feature, tenant and cost centre."""
    window, found = Window(start, end), {}
    with one_snapshot():
        tagged = spend_by(SpendQuery(window, group_by=TAGS, team_ids=team_ids))
        nobody = spend_by(SpendQuery(window, team_ids=team_ids, filters={"tenant": ("",)}))
    for place, name in enumerate(TAGS):
        found[name] = sum((group.now for group in tagged.groups if not group.key[place]), Figures())
    return found | {"tenant": sum((group.now for group in nobody.groups), Figures())}
