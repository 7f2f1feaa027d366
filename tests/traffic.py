"""Events for tests: a few lines of realistic traffic through the real domain function."""

from datetime import datetime, timedelta
from itertools import count

from accounts.models import Team
from usage.actions import record_events

_numbers = count(1)

CALL = {
    "operation": "chat",
    "provider": "openai",
    "model": "gpt-4o",
    "feature": "answers",
    "environment": "prod",
    "input_tokens": 1000,
    "cached_input_tokens": 200,
    "output_tokens": 100,
    "latency_ms": 800,
}


def event(at: datetime, **fields) -> dict:
    """One priced call at `at`, with a fresh event_id; `fields` override, None removes."""
    whole = {"event_id": f"test-{next(_numbers)}", "occurred_at": at.isoformat(), **CALL, **fields}
    return {name: value for name, value in whole.items() if value is not None}


def record(team: Team, at: datetime, number: int = 1, **fields) -> list[dict]:
    """Record `number` events from `at` on, a millisecond apart; all must be accepted. Returns what was sent."""
    events = [event(at + timedelta(milliseconds=offset), **fields) for offset in range(number)]
    outcome = record_events(team=team, environment="", api_key_id=None, events=events)
    assert (outcome.accepted, outcome.rejected) == (number, [])
    return events
