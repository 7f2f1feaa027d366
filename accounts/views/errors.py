"""Pages for what went wrong."""

import sys
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from accounts.access import MissingRight, grantors
from accounts.api import RETRY_AFTER_SECONDS, body_of, database_problem, database_unavailable, error_body


def permission_denied(request, exception=None):
    """403: what was missing, and who can grant it."""
    missing = exception if isinstance(exception, MissingRight) else None
    context: dict[str, Any] = {"message": str(exception or ""), "missing": missing}
    if missing:
        context["grantors"] = grantors(missing.team)[:5]
    return render(request, "403.html", context, status=403)


def server_error(request):
    """500; or 503 when the cause is a database that is away, full or read-only, wherever it was met.

    Programs get the API's error envelope. Pages are rendered without the request: the context processors
    would ask the database again.
    """
    _, cause, _ = sys.exc_info()
    away = cause is not None and database_unavailable(cause)
    if request.path.startswith("/api/"):
        body = body_of(database_problem()) if away else error_body("internal_error", "This is an error of the desk.")
        response: HttpResponse = JsonResponse(body, status=503 if away else 500)
    else:
        response = render(None, "503.html" if away else "500.html", status=503 if away else 500)
    if away:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
