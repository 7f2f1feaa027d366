"""What every response carries, and the zone every page is drawn in."""

import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import SimpleTemplateResponse
from django.urls import Resolver404, is_valid_path, resolve
from django.utils import timezone
from django_htmx.middleware import HtmxDetails

from accounts.api import no_such_address


class HtmxRequest(HttpRequest):
    """A request as views get it behind HtmxMiddleware; true where htmx asks for a part of a page."""

    htmx: HtmxDetails


# Django 5.2 has no CSP of its own (6.0 has); one fixed policy needs no package.
POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:", "blob:"],  # Plotly makes PNGs from blob: and data: images
    "font-src": ["'self'"],
    "connect-src": ["'self'"],
    "manifest-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'self'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
}


POLICY_TEXT = "; ".join(f"{name} {' '.join(sources)}" for name, sources in POLICY.items())


class ContentSecurityPolicyMiddleware:
    """Sends the one strict policy on every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY_TEXT)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
        return response


class ApiMiddleware:
    """Programs bring a key and no cookie: /api/ goes straight to its view, past sessions, CSRF, sign-in and messages.

    Those would be a third of what a single event costs. What they do for programs too is done here. The public status
    page goes the same way: it must answer while the database, which sessions need, is away.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        to_api = f"{request.path_info}/".startswith("/api/")
        if not to_api and not request.path_info.startswith("/status/"):
            return self.get_response(request)
        request.get_host()  # raises DisallowedHost, which is a 400
        try:
            found = request.resolver_match = resolve(request.path_info)
        except Resolver404:
            # Not its page, which needs all the rest: a program reads JSON
            return no_such_address(request.path_info) if to_api else self.get_response(request)
        response = found.func(request, *found.args, **found.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response = response.render()
        if not response.streaming:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


class NulFreeQueryMiddleware:
    """Takes NUL characters out of a page's query string: no text kept has one, and PostgreSQL refuses to look for it.

    Programs are told instead: dropping a part of their filter would answer another question than theirs.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        while "%00" in query:  # taking one out may join the parts of another
            query = query.replace("%00", "")
            request.META["QUERY_STRING"] = query
        return self.get_response(request)


class MethodNotAllowedMiddleware:
    """Gives a refused method a page with a way back: the same address if it can be opened, else the nearest above."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code != 405 or response.streaming or response.content:
            return response
        opens = "GET" in response["Allow"]
        back = request.path if opens else page_above(request.path)
        page = render(request, "405.html", {"back": back, "opens": opens}, status=405)
        page["Allow"] = response["Allow"]
        return page


def page_above(path: str) -> str:
    """The nearest address above `path` that is one of the desk's; "/" is."""
    parent = path.rstrip("/").rpartition("/")[0] + "/"
    return parent if parent == "/" or is_valid_path(parent) else page_above(parent)


def zone_of(user) -> zoneinfo.ZoneInfo:
    """The viewer's zone; UTC for nobody and for a name the tz database does not know."""
    name = getattr(user, "time_zone", "") or "UTC"
    # Asked for by name (cached by zoneinfo): listing all names reads the disk for 4 ms, on every request.
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of names, like "America"
        return zoneinfo.ZoneInfo("UTC")


class ViewerTimeZoneMiddleware:
    """Activates the signed-in user's zone, so that templates and forms show and read their wall clock."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_of(getattr(request, "user", None))):
            return self.get_response(request)
