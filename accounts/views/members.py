"""Adding people, changing and removing their roles: in a team, or (slug None) in the whole organisation."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import get_team, require, visible_teams
from accounts.actions import add_member, change_role, remove_member
from accounts.forms import MemberForm, RoleForm
from accounts.models import Membership
from accounts.views.teams import render_organisation, render_team


def _page_of(team):
    return redirect("team", slug=team.slug) if team else redirect("organisation")


@login_required
@never_cache
@require_POST
def member_add(request, slug=None):
    """Answers with the password to hand over when an account had to be made: the only time it is shown."""
    team = get_team(request.user, slug) if slug else None
    require(request.user, "member.manage", team)
    form = MemberForm(request.POST)
    if form.is_valid():
        try:
            membership, password = add_member(**form.cleaned_data, team=team, actor=request.user, request=request)
        except ValidationError as exc:
            form.add_error("email", exc)
        else:
            if password:
                context = {"membership": membership, "password": password, "team": team}
                return render(request, "accounts/member_password.html", context)
            messages.success(request, f"{membership.user.email} is now {membership.get_role_display().lower()}.")
            return _page_of(team)
    if team:
        return render_team(request, team, form, status=400)
    return render_organisation(request, form, status=400)


def _get_membership(user, pk) -> Membership:
    """A membership the user may manage. Another team's is 404; without the right, 403."""
    membership = Membership.objects.select_related("user", "team").filter(pk=pk).first()
    if membership is None or (membership.team and not visible_teams(user).filter(pk=membership.team.pk).exists()):
        raise Http404("There is no such membership.")
    require(user, "member.manage", membership.team)
    return membership


@login_required
def member_role(request, pk):
    membership = _get_membership(request.user, pk)
    form = RoleForm(request.POST or None, instance=membership)
    if request.method == "POST" and form.is_valid():
        try:
            change_role(
                membership=_get_membership(request.user, pk),
                role=form.cleaned_data["role"],
                actor=request.user,
                request=request,
            )
        except ValidationError as exc:
            form.add_error("role", exc)
        else:
            messages.success(request, "The role is changed.")
            return _page_of(membership.team)
    return render(request, "accounts/member_role.html", {"membership": membership, "form": form})


@login_required
def member_remove(request, pk):
    """GET asks, POST does."""
    membership = _get_membership(request.user, pk)
    problem = ""
    if request.method == "POST":
        try:
            remove_member(membership=membership, actor=request.user, request=request)
        except ValidationError as exc:
            problem = str(exc.message)
        else:
            messages.success(request, f"{membership.user.email} is no longer {membership.get_role_display().lower()}.")
            return _page_of(membership.team)
    context = {"membership": membership, "problem": problem}
    return render(request, "accounts/member_remove.html", context, status=400 if problem else 200)
