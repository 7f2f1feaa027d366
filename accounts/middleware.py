"""What every page needs: the viewer's time zone, and a clear answer when the database is away."""

import zoneinfo

from django.conf import settings
from django.shortcuts import render
from django.utils import timezone

from accounts.api import RETRY_AFTER_SECONDS, database_unavailable


class ViewerTimeZoneMiddleware:
    """Shows times in the zone of the signed-in person; without a session (the API) it costs nothing."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return self.get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(getattr(request.user, "time_zone", "UTC"))):
            return self.get_response(request)


class DatabaseUnavailableMiddleware:
    """503 with a plain page instead of a 500 when the database is away, full or read-only."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if not database_unavailable(exception):
            return None
        # Without a request: the context processors would ask the database again.
        response = render(None, "503.html", {"retry_after": RETRY_AFTER_SECONDS}, status=503)
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response
