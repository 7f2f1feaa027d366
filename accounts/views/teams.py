"""Teams, and the organisation as a whole."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.access import can, get_team, require
from accounts.actions import create_team, edit_team
from accounts.forms import MemberForm, TeamEditForm, TeamForm
from accounts.queries import keys_of, members_of, teams_with_counts


@login_required
@require_safe
def team_list(request):
    """Every team the person may see."""
    context = {"teams": teams_with_counts(request.user), "may_create": can(request.user, "team.manage")}
    return render(request, "accounts/team_list.html", context)


@login_required
def team_create(request):
    """Needs the right in the organisation as a whole: there is no team yet to hold it in."""
    require(request.user, "team.manage")
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        team = create_team(**form.cleaned_data, actor=request.user, request=request)
        messages.success(request, f"{team.name} is created. Next: its people, and a key for its services.")
        return redirect("team", slug=team.slug)
    return render(request, "accounts/team_form.html", {"form": form})


@login_required
def team_edit(request, slug):
    team = get_team(request.user, slug)
    require(request.user, "team.manage", team)
    form = TeamEditForm(request.POST or None, instance=team)
    if request.method == "POST" and form.is_valid():
        edit_team(team=team, **form.cleaned_data, actor=request.user, request=request)
        messages.success(request, "The team is saved.")
        return redirect("team", slug=team.slug)
    return render(request, "accounts/team_form.html", {"form": form, "team": team})


@login_required
@require_safe
def team_detail(request, slug):
    """Members and keys of one team."""
    return render_team(request, get_team(request.user, slug))


def render_team(request, team, member_form=None, status=200):
    """The team page; also what a rejected "add member" form comes back on."""
    rights = {
        "may_edit": can(request.user, "team.manage", team),
        "may_manage_members": can(request.user, "member.manage", team),
        "may_manage_keys": can(request.user, "api_key.manage", team),
        "may_read_audit": can(request.user, "audit.read", team),
    }
    context = {"team": team, "members": members_of(team), "keys": keys_of(team), "form": member_form or MemberForm()}
    return render(request, "accounts/team_detail.html", context | rights, status=status)


@login_required
@require_safe
def organisation(request):
    """People whose role holds in every team."""
    require(request.user, "member.manage")
    return render_organisation(request)


def render_organisation(request, member_form=None, status=200):
    context = {"members": members_of(None), "form": member_form or MemberForm(), "may_manage_members": True}
    return render(request, "accounts/organisation.html", context, status=status)
