"""Many budgets at once, from a file or a selection: a dry run says what each would become, then all or none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.actions import Author
from accounts.models import User
from budgets.actions import Outcome, approval_needed, create_budget, edit_budget
from budgets.facts import Draft, check, draft_of, facts_of, plain
from budgets.models import Budget
from budgets.queries.visible import visible_budgets
from budgets.rules.table import percent_text

MOST = 2000


@dataclass
class Plan:
    """What one line would do. `kind`: add, change, same or error; `changes`: (fact, before, after)."""

    line: int
    name: str
    kind: str
    budget: Budget | None = None
    draft: Draft | None = None
    changes: list[tuple[str, Any, Any]] = field(default_factory=list)
    approval: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def plan_import(user: User, rows: Sequence[tuple[int, dict[str, Any]]]) -> list[Plan]:
    """Lines of a table as plans. A budget in force of the same team and name is changed, any other one is made.

    A cell that is empty or absent leaves a budget's fact as it is.
    """
    teams = list(teams_where(user, "budget.edit"))
    allowed = {team.pk for team in teams}
    there = {(b.team.slug if b.team else "", b.name): b for b in visible_budgets(user).filter(is_active=True)}
    owners = list(
        User.objects.filter(
            email__in={row.get("owner", "").replace("\0", "").lower() for _, row in rows}, is_active=True
        )
    )
    plans, seen = [], set()
    for line, row in rows:
        key = (row.get("team", ""), row.get("name", ""))
        budget = there.get(key)
        if key in seen:
            plans.append(Plan(line, key[1], "error", problems=["This team and name stand in the file twice."]))
        elif budget and budget.team_id not in allowed and not can(user, "budget.edit"):
            plans.append(Plan(line, key[1], "error", problems=["You may not edit budgets of this team."]))
        elif not key[0] and not can(user, "budget.edit"):
            plans.append(Plan(line, key[1], "error", problems=["team: Name a team whose budgets you may edit."]))
        else:
            plans.append(_plan(line, key[1], budget, row, teams, owners))
        seen.add(key)
    return plans


def plan_limits(budgets: Iterable[Budget], percent: Decimal) -> list[Plan]:
    """The limits of a selection raised or lowered by so many percent, to whole cents (whole tokens, whole requests)."""
    plans = []
    for number, budget in enumerate(budgets, start=1):
        step = Decimal("0.01") if budget.unit == "usd" else Decimal(1)
        limit = (budget.limit * (100 + percent) / 100).quantize(step, ROUND_HALF_EVEN)
        teams = [budget.team] if budget.team else []
        plans.append(_plan(number, budget.name, budget, {"limit": plain(limit)}, teams, None))
    return plans


def _plan(line: int, name: str, budget: Budget | None, row: dict[str, Any], teams: list, owners: list | None) -> Plan:
    try:
        draft = check((facts_of(budget) if budget else {}) | row, teams=teams, owners=owners)
    except ValidationError as error:
        problems = [f"{name}: {text}" for name, texts in error.message_dict.items() for text in texts]
        return Plan(line, name, "error", budget, problems=problems)
    if budget is None:
        return Plan(line, name, "add", draft=draft)
    changes = _changes(draft_of(budget).facts, draft.facts)
    approval = approval_needed(budget, draft, timezone.now()) if changes else []
    return Plan(line, name, "change" if changes else "same", budget, draft, changes, approval)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, _shown(before[name]), _shown(after[name])) for name in after if before[name] != after[name]]


def _shown(value: Any) -> str:
    return ", ".join(f"{percent_text(row)} % {row['action']}" for row in value) if isinstance(value, list) else value


def carry_out(author: Author, plans: Sequence[Plan], reason: str) -> list[Outcome]:
    """Do all that was planned, or nothing. Raises ValidationError naming the line that cannot be done any more."""
    if bad := [plan for plan in plans if plan.kind == "error"]:
        raise ValidationError(f"Line {bad[0].line}: {bad[0].problems[0]}")
    outcomes = []
    with transaction.atomic():
        for plan in plans:
            try:
                outcomes.append(_carry_out(author, plan, reason))
            except ValidationError as error:
                raise ValidationError(f"Line {plan.line}, {plan.name}: {' '.join(error.messages)}") from error
    return outcomes


def _carry_out(author: Author, plan: Plan, reason: str) -> Outcome:
    if plan.draft is None:
        raise ValidationError("There is nothing to do.")
    if plan.budget is None:
        return Outcome(create_budget(author=author, draft=plan.draft, reason=reason))
    if plan.kind == "same":
        return Outcome(plan.budget)
    return edit_budget(
        author=author, budget=plan.budget, base_version=plan.budget.version, draft=plan.draft, reason=reason
    )
