"""Writes of the usage room."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from accounts.models import Team
from usage.ingest import ledger, series
from usage.ingest.collect import Collector
from usage.ingest.ledger import Seal
from usage.ingest.parse import Parsed, parse
from usage.ingest.problems import BodyRefused, Rejection
from usage.ingest.write import AlreadyAnswered, Batch, BookMoved, SeriesGone, store
from usage.pricing import book

ATTEMPTS = 4


class Outcome(msgspec.Struct):
    """What became of a batch. `rejected` lists the first thousand, `rejected_count` counts all."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]
    rejected_count: int
    replayed: bool = False

    def answer(self) -> bytes:
        """The JSON a client gets."""
        return msgspec.json.encode(
            {
                "accepted": self.accepted,
                "duplicates": self.duplicates,
                "rejected": self.rejected,
                "rejected_count": self.rejected_count,
            }
        )


def record_events(
    *,
    team: Team,
    environment: str,
    api_key_id: int | None,
    events: bytes | Iterable[dict[str, Any]],
    now: datetime | None = None,
    lines: bool = False,
    idempotency_key: str = "",
) -> Outcome:
    """Validate, price and commit a batch of usage events of one team; what was acknowledged is there exactly once.

    `events` is a body (JSON, or NDJSON if `lines` or if it plainly is) or dicts with the fields of
    `usage.ingest.shape.Event`; a NaN in a dict reads as "not given". `environment` is the key's, '' if it has none.
    Bad events are in the outcome, the good ones are kept. Raises BodyRefused for a body that cannot be taken at all,
    and Django's database errors, after which nothing of the batch is stored.
    """
    body = events if isinstance(events, bytes) else msgspec.json.encode(list(events))
    seal = ledger.seal(team.pk, idempotency_key, body)
    if seal and (stored := ledger.answered(seal)):
        return _replayed(stored)
    for _ in range(ATTEMPTS):
        collector = Collector(team.pk, team.slug, environment, api_key_id, now or timezone.now())
        try:
            return _attempt(collector, parse(body, lines=lines, max_events=settings.INGEST_MAX_EVENTS), seal)
        except SeriesGone:
            series.forget(team.pk)
        except BookMoved:
            book.current()
    raise OperationalError("the batch could not be stored: prices or series keep changing")


def _attempt(collector: Collector, parsed: Parsed, seal: Seal | None) -> Outcome:
    """Price with the book this process remembers; storing looks whether it is still the latest."""
    prices = book.remembered()
    collector.take(parsed, prices)
    if not collector.seen:
        raise BodyRefused(400, "no_events", "The body has no events.", "Send at least one event.")
    return _stored(collector, prices.version, seal, escapes=parsed.escapes)


def _stored(collector: Collector, book_version: int, seal: Seal | None, *, escapes: bool) -> Outcome:
    rows, rejections = collector.unique_rows(), collector.rejections
    taken = len(collector.rows)

    def outcome(accepted: int) -> Outcome:
        return Outcome(accepted, taken - accepted, rejections.listed, rejections.count)

    if not rows:
        return outcome(0)
    batch = Batch(
        collector.team_id,
        collector.batch_id,
        rows,
        book_version,
        escapes,
        collector.now,
        seal,
        lambda accepted: outcome(accepted).answer(),
    )
    try:
        return outcome(store(batch))
    except AlreadyAnswered as exc:
        return _replayed(exc.answer)


def _replayed(stored: dict[str, Any]) -> Outcome:
    return msgspec.convert(stored | {"replayed": True}, Outcome)
