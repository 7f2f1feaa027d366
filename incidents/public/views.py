"""GET /status/ and its feeds: public, without a session, from the kept copy."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.syndication.views import Feed
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aiops_site import formats
from incidents.public.kept import current

STALE = timedelta(minutes=3)
CACHE = "public, max-age=15, stale-if-error=86400"
TONES = {
    "operational": "ok",
    "degraded": "warn",
    "recovering": "info",
    "partial outage": "bad",
    "major outage": "bad",
    "unknown": "info",
}
HEADLINES = {
    "operational": "All systems work",
    "degraded": "Some systems are degraded",
    "recovering": "Systems are recovering",
    "partial outage": "Some systems are disturbed",
    "major outage": "There is a major outage",
    "unknown": "No component is listed yet",
}
WIDTH = 10  # of a day in the drawing, and the gap after it
GAP = 3


@require_safe
def status_page(request: HttpRequest) -> HttpResponse:
    """The page; 503 only where the desk never knew a status and cannot read one now."""
    found = current()
    response = render(request, "incidents/status/page.html", _context(found), status=200 if found else 503)
    return _cached(response, found)


@require_safe
def status_json(request: HttpRequest) -> HttpResponse:
    """The same as data."""
    found = current()
    response = JsonResponse(found or {"error": "The status is not known now."}, status=200 if found else 503)
    response["Access-Control-Allow-Origin"] = "*"
    return _cached(response, found)


def _cached(response: HttpResponse, found: dict[str, Any] | None) -> HttpResponse:
    response["Cache-Control"] = CACHE if found else "no-store"
    if not found:
        response["Retry-After"] = "15"
    return response


def _context(found: dict[str, Any] | None) -> dict[str, Any]:
    if found is None:
        return {"status": None}
    at = datetime.fromisoformat(found["generated_at"])
    incidents = [_shown(one) for one in found["incidents"]]
    return {
        "status": found,
        "at": at,
        "stale": timezone.now() - at > STALE,
        "tone": TONES[found["state"]],
        "headline": HEADLINES[found["state"]],
        "components": [_component(one) for one in found["components"]],
        "open": [one for one in incidents if one["state"] != "resolved"],
        "past": [one for one in incidents if one["state"] == "resolved"],
    }


def _component(one: dict[str, Any]) -> dict[str, Any]:
    bars = [
        {"x": place * (WIDTH + GAP), "tone": _tone(day), "title": _title(day)} for place, day in enumerate(one["days"])
    ]
    shown = "not recorded yet" if one["uptime"] is None else f"{formats.percent(one['uptime'])} uptime{_since(one)}"
    return one | {"bars": bars, "tone": TONES[one["state"]], "uptime_text": shown, "width": len(bars) * (WIDTH + GAP)}


def _since(one: dict[str, Any]) -> str:
    """From when on it is recorded, where that is not all of the days."""
    first = next(day for day in one["days"] if day["down"] is not None)
    return "" if first is one["days"][0] else f" since {datetime.fromisoformat(first['day']):%-d %b}"


def _tone(day: dict[str, Any]) -> str:
    if day["down"] is None:
        return "none"
    return "bad" if day["down"] else "warn" if day["degraded"] else "ok"


def _title(day: dict[str, Any]) -> str:
    date = f"{datetime.fromisoformat(day['day']):%-d %b %Y}"
    if day["down"] is None:
        return f"{date}: not recorded"
    parts = [f"{formats.span_text(timedelta(minutes=day[name]))} {name}" for name in ("down", "degraded") if day[name]]
    return f"{date}: {', '.join(parts) or 'no disturbance'}"


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(one[name]) if one[name] else None for name in ("started_at", "resolved_at")}
    return one | times | {"updates": [u | {"at": datetime.fromisoformat(u["at"])} for u in one["updates"]]}


class StatusFeed(Feed):
    """RSS of what was published, the last first."""

    title = "Service status"
    description = "Disturbances of the service and how they went on"

    def link(self) -> str:
        return reverse("status-page")

    def items(self) -> list[dict[str, Any]]:
        found = current()
        if found is None:
            raise Http404("The status is not known now.")
        told = [update | {"id": one["id"]} for one in found["incidents"] for update in one["updates"]]
        return sorted(told, key=lambda update: update["at"], reverse=True)[:50]

    def item_title(self, item: dict[str, Any]) -> str:
        return item["title"]

    def item_description(self, item: dict[str, Any]) -> str:
        return item["text"]

    def item_link(self, item: dict[str, Any]) -> str:
        return f"{reverse('status-page')}#{item['id']}"

    def item_guid(self, item: dict[str, Any]) -> str:
        return f"{item['id']}-{item['at']}"

    item_guid_is_permalink = False

    def item_pubdate(self, item: dict[str, Any]) -> datetime:
        return datetime.fromisoformat(item["at"]).astimezone(UTC)
