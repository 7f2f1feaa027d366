"""Pages for what went wrong."""

from django.shortcuts import render

from accounts.access import MissingRight, grantors


def permission_denied(request, exception=None):
    """403: what was missing, and who can grant it."""
    missing = exception if isinstance(exception, MissingRight) else None
    context = {"message": str(exception or ""), "missing": missing}
    if missing:
        context["grantors"] = grantors(missing.team)[:5]
    return render(request, "403.html", context, status=403)
