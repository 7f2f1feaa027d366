"""Changing a budget's limit in its row of the list: the fields, what the limit would have done, and the change."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.access import require
from accounts.posted import author_of, text_of, whole_number
from budgets.actions import approval_needed, edit_budget
from budgets.facts import Draft, check, facts_of, plain
from budgets.models import Budget
from budgets.queries.preview import preview
from budgets.queries.visible import get_budget
from budgets.views.shown import tell


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def budget_limit(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the fields, a part of the list; with `limit`: what it would have done. POST: the change."""
    budget = get_budget(request.user, pk)
    require(request.user, "budget.edit", budget.team)
    if request.method == "POST":
        return _change(request, budget)
    if "limit" in request.GET:
        return render(request, "budgets/limit_preview.html", _tried(budget, request.GET["limit"]))
    return render(request, "budgets/limit_fields.html", {"budget": budget, "limit": plain(budget.limit)})


def _draft(budget: Budget, limit: str) -> Draft:
    """Raises ValidationError where the limit is none."""
    return check(facts_of(budget) | {"limit": limit.strip()}, teams=[budget.team] if budget.team else [], owners=None)


def _tried(budget: Budget, limit: str) -> dict:
    now = timezone.now()
    try:
        draft = _draft(budget, limit)
    except ValidationError as error:
        return {"problem": " ".join(error.messages)}
    return {"preview": preview(draft, now), "approval": approval_needed(budget, draft, now)}


def _change(request: HttpRequest, budget: Budget) -> HttpResponse:
    limit, reason = text_of(request, "limit"), text_of(request, "reason")
    try:
        if not reason:
            raise ValidationError("Say why the limit changes; the history shows it.")
        outcome = edit_budget(
            author=author_of(request),
            budget=budget,
            base_version=whole_number(request.POST.get("base_version", "")) or 0,
            draft=_draft(budget, limit),
            reason=reason,
        )
    except ValidationError as error:
        messages.error(request, f"The limit of {budget.name} is as it was. {' '.join(error.messages)}")
        return redirect("budget-edit", budget.pk)
    tell(request, outcome, f"The limit of {outcome.budget.name} is changed.")
    return redirect("budget-list")
