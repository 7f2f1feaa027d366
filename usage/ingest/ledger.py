"""Idempotency-Key: the answer to a batch is kept with its events, so that a retry gets the same answer."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from django.db import connection

from usage.ingest.problems import BodyRefused

MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Seal:
    """The Idempotency-Key of a request and the digest of its decoded body."""

    team_id: int
    key: str
    digest: bytes


def seal(team_id: int, key: str, body: bytes) -> Seal | None:
    """The seal of a request, None if it has no key. Raises BodyRefused for a key too long or not printable."""
    if not key:
        return None
    if len(key) > MAX_KEY or not key.isprintable():
        raise BodyRefused(
            400,
            "invalid_idempotency_key",
            f"The Idempotency-Key must be 1 to {MAX_KEY} printable characters.",
            "Send a UUID.",
            "Idempotency-Key",
        )
    return Seal(team_id, key, blake2b(body, digest_size=32).digest())


def answered(seal: Seal) -> dict[str, Any] | None:
    """The answer already given to this key, or None. Raises BodyRefused (409) if it was given to another body."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT body_digest, answer FROM usage_batch_ledger WHERE team_id = %s AND key = %s",
            [seal.team_id, seal.key],
        )
        found = cursor.fetchone()
    if found is None:
        return None
    if bytes(found[0]) != seal.digest:
        raise BodyRefused(
            409,
            "idempotency_conflict",
            "This Idempotency-Key was used for another body.",
            "Use a new key for every batch, and the same one only for its retries.",
            "Idempotency-Key",
        )
    return msgspec.json.decode(found[1]) if isinstance(found[1], str | bytes) else found[1]


# Takes the key inside the ingest transaction; waits for another request that holds it. No row: it was answered.
CLAIM = """
INSERT INTO usage_batch_ledger (team_id, key, body_digest, answer) VALUES (%s, %s, %s, '{}')
ON CONFLICT (team_id, key) DO NOTHING
"""
# Keeps the answer (JSON) with the claimed key.
SETTLE = "UPDATE usage_batch_ledger SET answer = %s::jsonb WHERE team_id = %s AND key = %s"


def claim_values(seal: Seal) -> list[Any]:
    """What CLAIM takes."""
    return [seal.team_id, seal.key, seal.digest]


def settle_values(seal: Seal, answer: bytes) -> list[Any]:
    """What SETTLE takes."""
    return [answer.decode(), seal.team_id, seal.key]
