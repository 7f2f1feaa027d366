"""Sending events in tests: over HTTP with a key, as a client would."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cast import bearer

URL = "/api/v1/events"


def moment(**ago) -> str:
    """ISO time `ago` (keywords of timedelta) before now."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def event(event_id: str = "e1", **fields) -> dict:
    """A small valid event of a minute ago."""
    return {"event_id": event_id, "occurred_at": moment(minutes=1), **fields}


def send(client, key: str, body, *, content_type: str = "application/json", **headers):
    """POST `body` (bytes as they are, else as JSON)."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(URL, data, content_type=content_type, headers=bearer(key) | headers)


def rejection(client, key: str, **fields) -> dict:
    """The one rejection of one bad event, checked to have stored nothing else."""
    answer = send(client, key, event(**fields))
    assert answer.status_code == 400, answer.content
    assert answer.json()["rejected_count"] == 1
    return answer.json()["rejected"][0]


@pytest.fixture(params=["statement", "copy"])
def way(request, monkeypatch) -> str:
    """Either way a batch may be stored, whatever its size."""
    monkeypatch.setattr("usage.ingest.write.SMALL", 10**6 if request.param == "statement" else 0)
    return request.param
