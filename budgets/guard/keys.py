"""API keys as this process last saw them; the guard's statement proves that one is still valid."""

from django.utils import timezone

from accounts.actions import LAST_USED_STEP
from accounts.api import ApiKeyAuthentication, note_use
from accounts.models import ApiKey
from accounts.rules import secret_matches, split_key

MOST = 2_000
_known: dict[str, ApiKey] = {}


class GuardKeyAuthentication(ApiKeyAuthentication):
    """As ApiKeyAuthentication, without a query for a key met before: what uses it must prove it or forget it."""

    def authenticate(self, request):
        if key := remembered(request.META.get("HTTP_AUTHORIZATION", "")):
            return None, key
        found = super().authenticate(request)
        if found is not None:
            if len(_known) >= MOST:
                _known.clear()
            _known[found[1].prefix] = found[1]
            found[1].last_used_at = timezone.now()
        return found


def remembered(header: str) -> ApiKey | None:
    """The key of an Authorization header, where this process met it before; its use is noted."""
    kind, _, text = header.partition(" ")
    parts = split_key(text.strip()) if kind.lower() == "bearer" else None
    key = _known.get(parts[0]) if parts else None
    if parts is None or key is None or not secret_matches(parts[1], bytes(key.digest)):
        return None
    _note_use(key)
    return key


def _note_use(key: ApiKey) -> None:
    """The remembered row is as old as this process: it has to be told what was written."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at >= LAST_USED_STEP:
        note_use(key)
        key.last_used_at = now


def forget(key: ApiKey) -> None:
    """Look it up again at its next use."""
    _known.pop(key.prefix, None)
