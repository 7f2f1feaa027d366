"""Rules of attribution: the list, adding one with a preview of what it moves, ending and reviving."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from accounts.posted import author_of, report
from budgets.forms.attribution import RuleForm
from budgets.views.shown import report_tabs
from usage.attribution.actions import add_rule, check, end_rule, revive_rule
from usage.attribution.preview import preview
from usage.models import AttributionRule


def visible_rules(user):
    """Rules of the teams the user sees, and those of every team."""
    found = AttributionRule.objects.filter(Q(team=None) | Q(team__in=visible_teams(user)))
    return found.select_related("team", "api_key", "created_by").order_by("-is_active", "position", "id")


@login_required
def attribution_rules(request: HttpRequest) -> HttpResponse:
    """The rules; a form to add one, with fields filled in by the query string."""
    user = person_of(request)
    may_edit = can_anywhere(user, "budget.edit")
    given = {name: value for name, value in request.GET.items() if name in RuleForm.base_fields}
    form = RuleForm(request.POST or None, user=user, initial=given) if may_edit else None
    if request.method == "POST":
        if form is None:
            require(user, "budget.edit")
        elif form.is_valid() and _added(request, form):
            return redirect("attribution-rules")
    return render(
        request,
        "budgets/attribution/rules.html",
        {
            "form": form,
            "rules": [(rule, can(user, "budget.edit", rule.team)) for rule in visible_rules(user)],
            "tabs": report_tabs("attribution-rules"),
        },
    )


def _added(request: HttpRequest, form: RuleForm) -> bool:
    rule = form.rule
    require(request.user, "budget.edit", rule.team)
    try:
        changed = add_rule(author=author_of(request), rule=rule)
    except ValidationError as error:
        report(form, error)
        return False
    later = " Earlier calls of the key follow within minutes." if rule.api_key_id else ""
    messages.success(request, f"{rule}: {changed} series changed, history with them.{later}")
    return True


@login_required
@require_POST
def attribution_preview(request: HttpRequest) -> HttpResponse:
    """What the rule of the form would move; a part of the page."""
    user = person_of(request)
    if not can_anywhere(user, "budget.edit"):
        require(user, "budget.edit")
    form, found = RuleForm(request.POST, user=user), None
    if form.is_valid():
        try:
            check(form.rule)
            teams = [form.team_chosen] if form.team_chosen else list(form.teams.values())
            found = preview(form.rule, teams, timezone.now())
        except ValidationError as error:
            report(form, error)
    return render(request, "budgets/attribution/preview.html", {"form": form, "preview": found})


@login_required
@require_POST
def attribution_end(request: HttpRequest, pk: int) -> HttpResponse:
    rule = get_object_or_404(visible_rules(request.user), pk=pk)
    require(request.user, "budget.edit", rule.team)
    changed = end_rule(author=author_of(request), rule=rule)
    messages.success(request, f"The rule has ended; {changed} series are as they were without it.")
    return redirect("attribution-rules")


@login_required
@require_POST
def attribution_revive(request: HttpRequest, pk: int) -> HttpResponse:
    rule = get_object_or_404(visible_rules(request.user), pk=pk)
    require(request.user, "budget.edit", rule.team)
    changed = revive_rule(author=author_of(request), rule=rule)
    messages.success(request, f"The rule is in force again; {changed} series changed.")
    return redirect("attribution-rules")
