"""What is sent. Absent fields stay absent: unknown is never 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypedDict

FailPolicy = Literal["open", "closed", "as_told"]
QueueClass = Literal["realtime", "batch", "backfill"]
# Floats are left out on purpose: money is exact.
Money = Decimal | int | str


class _Model(TypedDict):
    model: str


class Call(_Model, total=False):
    """A call that is about to be made: `model`, and `input_tokens` or `cost_usd`, are needed.

    Tokens are estimates; `max_output_tokens` is what will be sent with the call, absent: estimated from the history of
    this feature and model. `user_hash` is a keyed hash, never the id. Of the same `idempotency_key` and fields there is
    one reservation; without one the client makes one for each reservation, so that its own retries are safe.
    """

    provider: str
    feature: str
    tenant: str
    environment: str
    user_hash: str
    cost_center: str
    region: str
    service_tier: str
    input_tokens: int | None
    max_output_tokens: int | None
    cost_usd: Money | None
    tools: Sequence[str]
    queue_class: QueueClass
    ttl_seconds: int
    idempotency_key: str


class Usage(TypedDict, total=False):
    """What a call used. `cached_input_tokens` and `cache_write_tokens` are parts of `input_tokens`, `reasoning_tokens`
    of `output_tokens`. Without `cost_usd` the desk prices the tokens; without either it books the estimate."""

    cost_usd: Money | None
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    provider: str
    model: str
    region: str
    service_tier: str


Event = Mapping[str, Any]


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}
