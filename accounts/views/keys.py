"""Making and revoking a team's API keys."""

import json
import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from accounts.access import get_team, grantable_scopes, require
from accounts.actions import create_api_key, revoke_api_key
from accounts.forms import ApiKeyForm


def sample_event(environment: str) -> dict:
    """An event of this moment with an id of its own, so that sending it works."""
    return {
        "event_id": str(uuid.uuid4()),
        "occurred_at": timezone.now().isoformat(timespec="seconds"),
        "environment": environment,
        "feature": "first-try",
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "input_tokens": 1200,
        "output_tokens": 300,
        "latency_ms": 850,
        "status": "success",
    }


def curl_lines(api: str, text: str, environment: str) -> dict[str, str]:
    """Command lines that work as they stand: one event in, the figures of the last hour out."""
    return {
        "curl_ingest": (
            f"curl -i {api}/events -H 'Authorization: Bearer {text}' "
            f"-H 'Content-Type: application/json' -d '{json.dumps(sample_event(environment))}'"
        ),
        "curl_read": f"curl '{api}/metrics?metric=requests' -H 'Authorization: Bearer {text}'",
    }


@login_required
@never_cache
def key_create(request, slug):
    """POST answers with the key itself: it is never stored, so there is no page to come back to."""
    team = get_team(request.user, slug)
    require(request.user, "api_key.manage", team)
    form = ApiKeyForm(request.POST or None, scopes=grantable_scopes(request.user, team))
    if request.method == "POST" and form.is_valid():
        key, text = create_api_key(team=team, **form.cleaned_data, actor=request.user, request=request)
        examples = curl_lines(request.build_absolute_uri("/api/v1"), text, key.environment or "dev")
        return render(request, "accounts/key_shown.html", {"team": team, "key": key, "text": text} | examples)
    return render(request, "accounts/key_form.html", {"team": team, "form": form})


@login_required
def key_revoke(request, slug, prefix):
    """GET asks, POST does."""
    team = get_team(request.user, slug)
    require(request.user, "api_key.manage", team)
    key = get_object_or_404(team.api_keys, prefix=prefix)
    if request.method == "POST":
        revoke_api_key(key=key, actor=request.user, request=request)
        messages.success(request, f"{key} is revoked. Requests with it are refused from now on.")
        return redirect("team", slug=team.slug)
    return render(request, "accounts/key_revoke.html", {"team": team, "key": key})
