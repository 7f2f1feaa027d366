"""The weekly operations review, one page, and writing down what it decided."""

from dataclasses import dataclass
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, get_team, person_of, require, visible_teams
from accounts.models import Team, User
from accounts.posted import author_of, text_of, whole_number
from aiops_site.operations import sections
from aiops_site.operations.rules import WEEK, Week, week_of
from aiops_site.operations.sections import Review
from incidents.actions.reviews import decide
from incidents.models import ReviewDecision
from usage.models import Series
from usage.scope import Scope

LONGEST = 4000
UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class Section:
    """One section with its decision; `kept` is a text that was not saved because somebody else wrote first."""

    name: str
    title: str
    decision: ReviewDecision | None
    last: ReviewDecision | None
    kept: str = ""

    @property
    def version(self) -> int:
        return self.decision.version if self.decision else 0

    @property
    def text(self) -> str:
        return self.kept or (self.decision.text if self.decision else "")


@login_required
@require_safe
def operations(request: HttpRequest) -> HttpResponse:
    """The review of `week` (2026-W47; default: the last whole one), of `team` or everything the viewer's roles span."""
    return _page(request, _team(person_of(request), request.GET.get("team", "")), request.GET.get("week", ""))


@login_required
@require_POST
def operations_decide(request: HttpRequest) -> HttpResponse:
    """Write down one section's decision; where somebody wrote meanwhile, show both and save nothing."""
    team = _team(person_of(request), text_of(request, "team"))
    require(request.user, "review.decide", team)
    week, section = week_of(text_of(request, "week"), timezone.now()), text_of(request, "section")
    if section not in ReviewDecision.Section.values:
        return redirect("operations")
    text, version = text_of(request, "text", LONGEST), whole_number(request.POST.get("version", "")) or 0
    try:
        decide(author=author_of(request), team=team, week=week.monday, section=section, text=text, version=version)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return _page(request, team, week.name, {section: text}, status=409)
    messages.success(request, "Written down." if text else "The decision is taken back.")
    return redirect(f"{_url(week, team)}#{section}")


def _team(user: User, slug: str) -> Team | None:
    """The team of that slug; without one the organisation, for those who have no role in it their first team."""
    if slug:
        return get_team(user, slug)
    return None if can(user, "team.view") else visible_teams(user).first()


def _url(week: Week, team: Team | None) -> str:
    return f"{reverse('operations')}?week={week.name}{f'&team={team.slug}' if team else ''}"


def _page(
    request: HttpRequest, team: Team | None, week_name: str, kept: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    user, now = person_of(request), timezone.now()
    week = week_of(week_name, now)
    review = _review(user, team, week, now)
    context: dict[str, Any] = {
        "week": week,
        "running": week.end > now,
        "team": team,
        "organisation": can(user, "team.view"),
        "earlier": _url(week.before, team),
        "later": _url(week.after, team) if week.end <= now else "",
        "sections": _sections(week, _decisions(user, team), kept or {}),
        "may_decide": can(user, "review.decide", team),
        "any": Series.objects.filter(team_id__in=review.scope.team_ids).exists(),
    }
    totals = sections.stats(review)
    context |= {"totals": totals, "reliability": sections.reliability(review, totals), "spend": sections.spend(review)}
    context |= {"failures": sections.failures(review), "incidents": sections.incidents(review)}
    context["guardrails"] = sections.guardrails(review)
    return render(request, "aiops_site/operations/page.html", context, status=status)


def _review(user: User, team: Team | None, week: Week, now) -> Review:
    """The week until now while it runs, beside as much of the week before."""
    teams = (team,) if team else tuple(visible_teams(user))
    end = min(week.end, now.astimezone(UTC))
    scope = Scope(start=week.start, end=max(end, week.start + WEEK / 168), zone=UTC_ZONE, teams=teams, team=team)
    return Review(week, scope, scope.between(scope.start - WEEK, scope.end - WEEK), user)


def _sections(week: Week, decisions: QuerySet[ReviewDecision], kept: dict[str, str]) -> dict[str, Section]:
    weeks = (week.monday, week.before.monday)
    found = {(one.week, one.section): one for one in decisions.filter(week__in=weeks)}
    return {
        name: Section(name, title, found.get((weeks[0], name)), found.get((weeks[1], name)), kept.get(name, ""))
        for name, title in ReviewDecision.Section.choices
    }


def _decisions(user: User, team: Team | None) -> QuerySet[ReviewDecision]:
    """Of the team, or of the organisation for those with a role in it."""
    found = ReviewDecision.objects.filter(team=team).select_related("author")
    return found if team or can(user, "team.view") else found.none()
