"""Steps on one budget: approve, refuse, withdraw, undo, restore, end, take up again, grant."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, person_of, require
from accounts.posted import author_of, text_of, whole_number
from budgets.actions import (
    archive_budget,
    decide_change,
    give_grant,
    restore,
    revive_budget,
    revoke_grant,
    undo_edit,
    withdraw_change,
)
from budgets.facts import facts_of
from budgets.forms.budgets import DecisionForm, GrantForm, ReasonForm
from budgets.models import PendingChange
from budgets.queries.visible import get_budget, visible_budgets, waiting_changes
from budgets.views.history import differences, team_names
from budgets.views.shown import tabs, tell


@login_required
@require_safe
def budget_approvals(request: HttpRequest) -> HttpResponse:
    """Changes that wait for a second person, with what each would do; and the last decided."""
    waiting, names = list(waiting_changes(request.user)), team_names(person_of(request))
    decided = (
        PendingChange.objects.filter(budget__in=visible_budgets(request.user))
        .exclude(state=PendingChange.State.WAITING)
        .select_related("budget__team", "requested_by", "decided_by")
        .order_by("-decided_at")[:20]
    )
    return render(
        request,
        "budgets/approvals.html",
        {
            "waiting": [(one, what_changes(one, names), _may_decide(request, one)) for one in waiting],
            "decided": decided,
            "tabs": tabs("budget-approvals", len(waiting)),
        },
    )


def what_changes(change: PendingChange, teams: dict[str, str]) -> list[tuple[str, str, str]]:
    """(fact, before, after) of a waiting change; `teams`: team_names() of the reader."""
    if grant := change.facts.get("grant"):
        return [("grant", "–", f"{grant['amount']} {change.budget.unit_label} until {grant['expires_at'][:10]}")]
    if change.facts.get("ended"):
        return [("budget", "in force", "ended")]
    return differences(facts_of(change.budget), change.facts, teams)


def _may_decide(request: HttpRequest, change: PendingChange) -> bool:
    own = change.requested_by_id == request.user.pk
    return not own and can(request.user, "budget.approve", change.budget.team)


@login_required
@require_POST
def change_decide(request: HttpRequest, pk: int) -> HttpResponse:
    change = get_object_or_404(PendingChange.objects.filter(budget__in=visible_budgets(request.user)), pk=pk)
    require(request.user, "budget.approve", change.budget.team)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose approve or refuse.")
        return redirect("budget-approvals")
    approve, note = form.cleaned_data["decision"] == "approve", form.cleaned_data["note"]

    def decide() -> None:
        outcome = decide_change(author=author_of(request), change=change, approve=approve, note=note)
        messages.success(request, f"The change of {outcome.budget.name} is {'approved' if approve else 'refused'}.")

    return _step(request, decide, "budget-detail", change.budget_id)


@login_required
@require_POST
def change_withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    change = get_object_or_404(PendingChange.objects.filter(budget__in=visible_budgets(request.user)), pk=pk)

    def withdraw() -> None:
        withdraw_change(author=author_of(request), change=change)
        messages.success(request, "The change is withdrawn.")

    return _step(request, withdraw, "budget-detail", change.budget_id)


def _step(request: HttpRequest, act: Callable[[], None], page: str, pk: int) -> HttpResponse:
    """Act, or say what is in the way; back to the page either way."""
    try:
        act()
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(page, pk)


@login_required
@require_POST
def budget_undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Undo the last edit, or with `revision` go back to that one."""
    budget = get_budget(request.user, pk)
    require(request.user, "budget.edit", budget.team)
    base = whole_number(request.POST.get("base_version", "")) or 0

    def undo() -> None:
        author = author_of(request)
        if number := request.POST.get("revision"):
            revision = get_object_or_404(budget.revisions, version=whole_number(number))
            outcome = restore(author=author, budget=budget, base_version=base, revision=revision)
        else:
            outcome = undo_edit(author=author, budget=budget, base_version=base)
        tell(request, outcome, f"{outcome.budget.name} is as it was.")

    return _step(request, undo, "budget-detail", pk)


@login_required
@require_POST
def budget_end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a budget in force, or take up an ended one."""
    budget = get_budget(request.user, pk)
    require(request.user, "budget.edit", budget.team)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say why: the history of the budget shows it.")
        return redirect("budget-detail", pk)
    act = archive_budget if budget.is_active else revive_budget

    def end() -> None:
        outcome = act(author=author_of(request), budget=budget, **form.cleaned_data)
        tell(request, outcome, f"{budget.name} {'has ended' if budget.is_active else 'is in force again'}.")

    return _step(request, end, "budget-detail", pk)


@login_required
@require_POST
def grant_add(request: HttpRequest, pk: int) -> HttpResponse:
    budget = get_budget(request.user, pk)
    require(request.user, "budget.edit", budget.team)
    form = GrantForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(f"{form[name].label}: {texts[0]}" for name, texts in form.errors.items()))
        return redirect("budget-detail", pk)

    def give() -> None:
        outcome = give_grant(author=author_of(request), budget=budget, valid_from=timezone.now(), **form.cleaned_data)
        tell(request, outcome, "The grant is given; it counts at once.")

    return _step(request, give, "budget-detail", pk)


@login_required
@require_POST
def grant_revoke(request: HttpRequest, pk: int, grant_id: int) -> HttpResponse:
    budget = get_budget(request.user, pk)
    require(request.user, "budget.edit", budget.team)
    grant = get_object_or_404(budget.grants, pk=grant_id)

    def take_back() -> None:
        revoke_grant(author=author_of(request), grant=grant, reason=text_of(request, "reason"))
        messages.success(request, "The grant is taken back.")

    return _step(request, take_back, "budget-detail", pk)
