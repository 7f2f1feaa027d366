"""A budget's history: its versions, and what differs from one to the next in words."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import can, person_of, teams_where, visible_teams
from accounts.models import User
from budgets.models import Budget, BudgetRevision
from budgets.models.budgets import UNIT_LABELS
from budgets.queries.visible import get_budget
from budgets.rules.table import percent_text


@login_required
@require_safe
def budget_history(request: HttpRequest, pk: int) -> HttpResponse:
    """Every version, newest first, with what changed, who and why; going back is offered where one may."""
    user = person_of(request)
    budget = get_budget(user, pk)
    revisions = list(budget.revisions.select_related("actor", "approved_by"))
    older: list[Any] = [*revisions[1:], None]
    names = team_names(user)
    steps = [
        (one, differences(before.facts if before else {}, one.facts, names), _may_go_back(user, budget, one))
        for one, before in zip(revisions, older, strict=True)
    ]
    return render(request, "budgets/history.html", {"budget": budget, "steps": steps})


def _may_go_back(user: User, budget: Budget, revision: BudgetRevision) -> bool:
    """Who goes back to when it was another team's moves it there, and needs the right in both."""
    if not can(user, "budget.edit", budget.team) or revision.version == budget.version:
        return False
    slug = revision.facts["team"]
    if slug == (budget.team.slug if budget.team else ""):
        return True
    return teams_where(user, "budget.edit").filter(slug=slug).exists() if slug else can(user, "budget.edit")


def team_names(user: User) -> dict[str, str]:
    """Names by slug of the teams that the person may see; '' is all of them together."""
    return {"": "All teams"} | {team.slug: team.name for team in visible_teams(user)}


def differences(before: dict[str, Any], after: dict[str, Any], teams: dict[str, str]) -> list[tuple[str, str, str]]:
    """(fact, before, after) of every fact that differs; nothing where there was nothing before.

    `teams`: team_names() of the reader; any other is "another team".
    """
    changed = [name for name in after if before and before.get(name) != after[name]]
    return [(name, _words(name, before, teams), _words(name, after, teams)) for name in changed]


def _words(name: str, facts: dict[str, Any], teams: dict[str, str]) -> str:
    value = facts.get(name)
    if name == "team":
        return teams.get(value or "", "another team")
    if name == "limit":
        return f"{value} {UNIT_LABELS[facts['unit']]}"
    if isinstance(value, list):
        return ", ".join(f"{percent_text(row)} % {row['action']}" for row in value)
    return str(value) if value not in ("", None) else "–"
