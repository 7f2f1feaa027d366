"""The signed-in person's own page."""

import zoneinfo

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.forms import ProfileForm
from accounts.queries import roles_of


@login_required
def profile(request):
    """Name, time zone and theme; links to password and two-factor pages; the roles held."""
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your settings are saved.")
        response = redirect("profile")
        # The theme switch of the frame keeps its choice in this cookie, which would otherwise win.
        response.set_cookie("theme", request.user.theme, max_age=31_536_000, samesite="Lax")
        return response
    context = {
        "form": form,
        "time_zones": sorted(zoneinfo.available_timezones()),
        "memberships": roles_of(request.user),
        "mfa_enabled": is_mfa_enabled(request.user),
    }
    return render(request, "accounts/profile.html", context)


@require_safe
def password_reset_unavailable(request):
    """Where "Forgot your password?" leads on a desk that cannot send e-mail."""
    return render(request, "account/password_reset_unavailable.html")
