"""The guard's pages: what it did lately, and rate limits."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from accounts.models import ApiKey, Team
from accounts.posted import author_of, report, text_of
from aiops_site.charts import Chart, Series
from budgets.forms.limits import LimitForm
from budgets.limits import add_limit, end_limit
from budgets.models import Hold
from budgets.queries import guard as queries
from budgets.queries.visible import sees_organisation
from incidents.controls import may_set
from usage.links import tabs_of

CURL = """curl -X POST {url} \\
  -H "Authorization: Bearer $AIOPS_KEY" -H 'Content-Type: application/json' \\
  -d '{{"provider": "openai", "model": "gpt-4o-mini", "feature": "answers",
       "input_tokens": 1850, "max_output_tokens": 400}}'"""


def tabs(current: str) -> list[tuple[str, str, bool]]:
    names = (("Guard", "guard-list"), ("Rate limits", "rate-limit-list"))
    return tabs_of(names, current)


@login_required
@require_safe
def guard_list(request: HttpRequest) -> HttpResponse:
    """Open reservations, what was denied and degraded in the last day, over-runs, and who reserves; `team` narrows."""
    now = timezone.now()
    mine = list(visible_teams(request.user))
    teams = [team for team in mine if team.slug == request.GET.get("team")] or mine
    held = queries.open_holds(teams, now)
    refused = queries.refusals(teams, now)
    return render(
        request,
        "budgets/guard.html",
        {
            "tabs": tabs("guard-list"),
            "team": request.GET.get("team", ""),
            "any": Hold.objects.filter(team__in=mine).exists() or bool(refused),
            "held": _with_keys(held[: queries.LISTED]),
            "held_count": held.count(),
            "held_usd": held.aggregate(total=Sum("estimate_usd"))["total"] or 0,
            "refused": refused,
            "denied": sum(one.count for one in refused if one.decision == "deny"),
            "degraded": sum(one.count for one in refused if one.decision == "degrade"),
            "recent": queries.recent(teams, now),
            "overruns": queries.overruns(teams, now),
            "looked_at": queries.LOOKED_AT,
            "chart": _chart(teams, now) if refused else None,
            "curl": CURL.format(url=request.build_absolute_uri(reverse("api-guard-reserve"))),
        },
    )


def _with_keys(holds) -> list[tuple[Hold, str]]:
    """Each with its team and the name of its key."""
    found = list(holds.select_related("team"))
    names = dict(ApiKey.objects.filter(pk__in={one.api_key_id for one in found}).values_list("pk", "name"))
    return [(one, names.get(one.api_key_id, "a key that is gone")) for one in found]


def _chart(teams: list[Team], now) -> Chart:
    points = queries.over_time(teams, now)
    denied = sum(count for _, count in points["deny"])
    degraded = sum(count for _, count in points["degrade"])
    return Chart(
        id="guard-refusals",
        title=f"{denied:,} denied" + (f", {degraded:,} degraded" if degraded else ""),
        unit="calls",
        series=[
            Series("Denied", points["deny"], kind="bar", tone="bad"),
            Series("Degraded", points["degrade"], kind="bar", tone="warn"),
        ],
        tz=timezone.get_current_timezone(),
        step=queries.STEP,
        stacked=True,
        height="small",
    )


@login_required
@require_safe
def limit_list(request: HttpRequest) -> HttpResponse:
    """Rate limits in force."""
    user = person_of(request)
    limits = queries.rate_limits(visible_teams(user), of_all=sees_organisation(user))
    return render(
        request,
        "budgets/limits.html",
        {
            "tabs": tabs("rate-limit-list"),
            "limits": [(one, can(user, "control.set", one.team)) for one in limits],
            "for_now": [(one, may_set(user, one.team)) for one in queries.limits_for_now(user, timezone.now())],
            "may_set": can_anywhere(user, "control.set"),
        },
    )


@login_required
def limit_add(request: HttpRequest) -> HttpResponse:
    """Add a rate limit."""
    user = person_of(request)
    if not can_anywhere(user, "control.set"):
        require(user, "control.set")
    form = LimitForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        require(user, "control.set", form.cleaned_data["team"])
        try:
            limit = add_limit(author=author_of(request), **form.cleaned_data)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"The limit “{limit}” is in force. The guard's answers follow it from now on.")
            return redirect("rate-limit-list")
    return render(request, "budgets/limit_form.html", {"form": form})


@login_required
@require_POST
def limit_end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a rate limit; `reason` is needed."""
    user = person_of(request)
    limit = get_object_or_404(queries.rate_limits(visible_teams(user), of_all=sees_organisation(user)), pk=pk)
    require(user, "control.set", limit.team)
    try:
        end_limit(author=author_of(request), limit=limit, reason=text_of(request, "reason"))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"The limit “{limit}” has ended.")
    return redirect("rate-limit-list")
