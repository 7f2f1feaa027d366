"""A clear answer on pages when the database is away."""

from django.shortcuts import render

from accounts.api import RETRY_AFTER_SECONDS, database_unavailable


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
