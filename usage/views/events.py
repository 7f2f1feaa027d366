"""Events, traces and conversations: the evidence behind every number."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.access import get_team, require
from accounts.models import Team
from usage.measures import DIMENSIONS
from usage.models import UsageEvent
from usage.queries import events as queries
from usage.queries import traces
from usage.scope import UNTAGGED, Scope, zone_of

STATUSES = ("success", "error", "fallback", "blocked", "cancelled")
# Fields of an event's own page, by group.
GROUPS = {
    "Identity": ("event_id", "trace_id", "span_id", "parent_span_id", "request_id", "conversation_id", "session_id"),
    "Time": ("occurred_at", "received_at", "latency_ms", "ttft_ms", "queue_ms"),
    "Usage": (
        "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
        "context_tokens",
    ),
    "Outcome": (
        "http_status", "retry_count", "refused", "policy_hit", "schema_valid", "cache_hit", "escalated", "feedback",
        "documents", "top_score", "citations",
    ),
    "Who": ("tenant", "user_hash", "response_model"),
}  # fmt: skip


@login_required
@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    """The events of a scope, newest first; ?q= finds an id (straight to its trace) or a model, feature or tenant."""
    scope = Scope.from_request(request)
    require_reading(request, scope)
    if text := request.GET.get("q", "").strip().replace("\0", "")[:200]:
        return _search(request, scope, text)
    wanted = _wanted(scope, request)
    after = queries.After.parse(request.GET.get("after", ""))
    found, older = queries.page_of(wanted, after)
    context = {
        "scope": scope,
        "events": _rows(found, scope),
        "older_url": scope.url(after=str(older)) if older else "",
        "newer_url": scope.url(after=None) if after else "",
        "statuses": _tabs(scope, wanted),
        "chips": _chips(scope, wanted),
        "filtered": wanted != queries.Wanted(scope) or bool(scope.filters),
        "curl": first_event(request),
    }
    return render(request, "usage/events/list.html", context)


def require_reading(request: HttpRequest, scope: Scope) -> None:
    """Every role may read the events of its teams; a person without any team has none to read."""
    if scope.team:
        require(request.user, "events.read", scope.team)


def _wanted(scope: Scope, request: HttpRequest) -> queries.Wanted:
    series = {
        name: tuple("" if value == UNTAGGED else value for value in values)
        for name in queries.EXTRA_FILTERS
        if (values := [value for value in request.GET.getlist(name) if value and "\0" not in value])
    }
    state = queries.COST_STATES.get(request.GET.get("cost", ""))
    entries, retried = (request.GET.get(name) == "1" for name in ("entries", "retried"))
    return queries.Wanted(scope, series, state, entries, retried)


def _tabs(scope: Scope, wanted: queries.Wanted) -> list[tuple[str, str, bool]]:
    """(label, URL, current) of the statuses, and of requests without their inner stages."""
    chosen = wanted.series.get("status", ())
    statuses = [(value.capitalize(), scope.url(status=value, after=None), value in chosen) for value in STATUSES]
    entries = scope.url(entries=None if wanted.entries_only else "1", after=None)
    return [
        ("All", scope.url(status=None, entries=None, after=None), not chosen and not wanted.entries_only),
        ("Requests only", entries, wanted.entries_only),
        *statuses,
    ]


def _chips(scope: Scope, wanted: queries.Wanted) -> list[tuple[str, str, str]]:
    """(name, value, URL without it) of the filters only this page has."""
    chips = [
        (
            name,
            value or UNTAGGED,
            scope.url(**{name: tuple(v or UNTAGGED for v in values if v != value) or None}, after=None),
        )
        for name, values in wanted.series.items()
        if name != "status"
        for value in values
    ]
    state = next((name for name, number in queries.COST_STATES.items() if number == wanted.cost_state), "")
    if state:
        chips.append(("cost", state, scope.url(cost=None, after=None)))
    if wanted.retried_only:
        chips.append(("retries", "at least one", scope.url(retried=None, after=None)))
    return chips


def _search(request: HttpRequest, scope: Scope, text: str) -> HttpResponse:
    found = queries.search(scope, text)
    slugs = {team.id: team.slug for team in scope.teams}
    if found and all(event.trace_id == text for event in found):
        return redirect("trace", team=slugs[found[0].team_id], trace_id=text)
    if found and all(event.conversation_id == text for event in found):
        return redirect("conversation", team=slugs[found[0].team_id], conversation_id=text)
    if not found and (name := queries.dimension_with(scope, text)):
        return redirect(f"{reverse('event-list')}?{urlencode({name: text})}")
    context = {"scope": scope, "events": _rows(found, scope), "words": text, "curl": first_event(request)}
    return render(request, "usage/events/list.html", context)


def _rows(found: list[UsageEvent], scope: Scope) -> list[tuple[UsageEvent, Team, str, str]]:
    """(event, team, its page, its trace's page or '')."""
    teams = {team.id: team for team in scope.teams}
    return [
        (event, teams[event.team_id], event_url(teams[event.team_id], event), trace_url(teams[event.team_id], event))
        for event in found
    ]


def event_url(team: Team, event: UsageEvent) -> str:
    return (
        f"{reverse('event', args=[team.slug])}?{urlencode({'at': event.occurred_at.isoformat(), 'id': event.event_id})}"
    )


def trace_url(team: Team, event: UsageEvent) -> str:
    if not event.trace_id:
        return ""
    return f"{reverse('trace', args=[team.slug, event.trace_id])}?{urlencode({'at': event.occurred_at.isoformat()})}"


def first_event(request: HttpRequest) -> str:
    """A curl line that sends one event to this desk."""
    return (
        f"curl {request.build_absolute_uri(reverse('api-events'))} -H 'Authorization: Bearer YOUR_KEY' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"event_id": "\'$(uuidgen)\'", "operation": "chat", "provider": "openai", "model": "gpt-4o",'
        ' "feature": "hello", "input_tokens": 1200, "output_tokens": 80, "latency_ms": 900}\''
    )


@login_required
@require_safe
def event_detail(request: HttpRequest, team: str) -> HttpResponse:
    """Every field of one event (?at=&id=)."""
    owner = get_team(request.user, team)
    require(request.user, "events.read", owner)
    at = _moment(request)
    if at is None:
        raise Http404
    event = UsageEvent.objects.filter(team_id=owner.id, occurred_at=at, event_id=request.GET.get("id", "")).first()
    if event is None:
        raise Http404
    (event,) = queries.with_series([event])
    context = {
        "team": owner,
        "event": event,
        "trace_url": trace_url(owner, event),
        "groups": {title: [(name, getattr(event, name)) for name in names] for title, names in GROUPS.items()},
        "dimensions": [
            (name, value, _same(owner, name, value, at))
            for name in DIMENSIONS
            if (value := getattr(event.series, name))
        ],
    }
    return render(request, "usage/events/detail.html", context)


def _moment(request: HttpRequest) -> datetime | None:
    """?at= as UTC, where it is a time this desk could hold."""
    try:
        at = datetime.fromisoformat(request.GET.get("at", "").replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if 2000 <= at.year <= 2200 else None


def _same(team: Team, name: str, value: str, at: datetime) -> str:
    """Events with the same value in the same hour."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    window = {"from": hour.isoformat(), "to": hour.replace(minute=59, second=59).isoformat()}
    return f"{reverse('event-list')}?{urlencode({'team': team.slug, name: value, **window})}"


@login_required
@require_safe
def trace_detail(request: HttpRequest, team: str, trace_id: str) -> HttpResponse:
    """A trace as a waterfall of its stages; ?at= says where in time to look first."""
    owner = get_team(request.user, team)
    require(request.user, "events.read", owner)
    found = traces.trace(owner.id, trace_id, _moment(request))
    if found is None:
        raise Http404
    context = {
        "team": owner,
        "trace": found,
        "zone": zone_of(request.user),
        "stages": [(stage, event_url(owner, stage.event)) for stage in found.stages],
    }
    return render(request, "usage/events/trace.html", context)


@login_required
@require_safe
def conversation_detail(request: HttpRequest, team: str, conversation_id: str) -> HttpResponse:
    """A conversation as a timeline of its turns."""
    owner = get_team(request.user, team)
    require(request.user, "events.read", owner)
    turns, totals, cut = traces.conversation(owner.id, conversation_id)
    if not turns:
        raise Http404
    context = {
        "team": owner,
        "conversation_id": conversation_id,
        "turns": [(turn, trace_url(owner, turn.entry) or event_url(owner, turn.entry)) for turn in turns],
        "totals": totals,
        "cut": cut,
    }
    return render(request, "usage/events/conversation.html", context)
