"""The last good copy of the status page: in this process, and in the broker for all the others.

A page is never older than FRESH while the database answers; when it does not, the last copy is shown with its time.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from incidents.queries.status_page import snapshot

log = logging.getLogger(__name__)

FRESH = 15.0  # seconds
PATIENCE_MS = 2000  # how long the database may take
KEPT_SECONDS = 30 * 86_400
KEY = "status-page"
AWAY = (DatabaseError, InterfaceError, OperationalError)
BROKER_AWAY = (KombuError, RedisError, OSError)

_building = threading.Lock()
_memory: dict[str, Any] = {"tried": float("-inf"), "copy": None}


def current() -> dict[str, Any] | None:
    """The status page as it is now, else its last copy; None where there never was one in reach.

    One thread reads it anew; the others take the copy there is, and wait only where there is none.
    """
    if not _due():
        return _memory["copy"] or _from_broker()
    if not _building.acquire(blocking=_memory["copy"] is None):
        return _memory["copy"]
    try:
        if _due():
            _renew()
    finally:
        _building.release()
    return _memory["copy"]


def _due() -> bool:
    return time.monotonic() - _memory["tried"] >= FRESH


def _renew() -> None:
    _memory["tried"] = time.monotonic()
    try:
        _memory["copy"] = refresh(timezone.now())
    except AWAY as error:
        log.warning("status page from its last copy: %s", error)
        _memory["copy"] = _newer(_memory["copy"], _from_broker())


def refresh(now: datetime) -> dict[str, Any]:
    """Read it anew, within PATIENCE_MS, and keep it for all. Raises one of AWAY where the database does not answer."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(PATIENCE_MS)])
        found = snapshot(now)
    _to_broker(found)
    return found


def forget() -> None:
    """Forget this process's copy, so that the next reader sees what was just changed."""
    _memory["tried"] = float("-inf")


def _newer(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    known = [found for found in (one, other) if found]
    return max(known, key=lambda found: found["generated_at"], default=None)


@contextmanager
def _broker() -> Iterator[Any]:
    """A client of the broker, tried once: nobody waits for a copy."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS | {"max_retries": 1, "interval_start": 0}
    with Connection(settings.BROKER_URL, transport_options=options) as broker:
        channel: Any = broker.default_channel
        yield channel.client


def _to_broker(found: dict[str, Any]) -> None:
    """A broker that is away costs the other processes a copy, not this one its answer."""
    try:
        with _broker() as client:
            client.set(KEY, json.dumps(found), ex=KEPT_SECONDS)
    except BROKER_AWAY as error:
        log.warning("status page not kept in the broker: %s", error)


def _from_broker() -> dict[str, Any] | None:
    try:
        with _broker() as client:
            text = client.get(KEY)
    except BROKER_AWAY as error:
        log.warning("no copy of the status page from the broker: %s", error)
        return None
    return json.loads(text) if text else None
