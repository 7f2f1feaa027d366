"""What limits on single fields cannot say: times, parts of a whole, and dimensions that contradict each other."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from usage.ingest.problems import Problem
from usage.ingest.shape import (
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTE_DEPTH,
    MAX_ATTRIBUTE_NAME,
    MAX_ATTRIBUTES,
    MAX_USD,
    OPERATION,
    Event,
)
from usage.measures import DIMENSIONS

CLOCK_SKEW = timedelta(minutes=5)
# What usage.ingest.parse puts into a body where JSON has no way to say it: always inside a text that is refused.
LONE_SURROGATE, NOT_A_NUMBER = "\x00surrogate", "\x00NaN"

Dimensions = tuple[str | None, ...]  # in the order of DIMENSIONS
_OPERATION = re.compile(OPERATION)
_ENVIRONMENT, _OPERATION_AT = DIMENSIONS.index("environment"), DIMENSIONS.index("operation")
_STATUS, _ERROR_TYPE = DIMENSIONS.index("status"), DIMENSIONS.index("error_type")


@dataclass(frozen=True, slots=True)
class Window:
    """Which start times are taken: raw retention back, five minutes of clock skew ahead."""

    oldest: datetime
    newest: datetime

    def problem(self, at: datetime) -> Problem | None:
        if self.oldest <= at <= self.newest:
            return None
        if at > self.newest:
            return Problem(
                "occurred_at",
                "in_the_future",
                f"occurred_at {at.isoformat()} is more than 5 minutes ahead of the desk's clock.",
                f"Set the sender's clock (NTP); the latest time taken is {_short(self.newest)}.",
            )
        return Problem(
            "occurred_at",
            "too_old",
            f"occurred_at {at.isoformat()} is older than the raw retention.",
            f"The oldest time taken is {_short(self.oldest)}; a larger RAW_RETENTION_DAYS keeps more.",
        )


def _short(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def event_problem(event: Event, team: str) -> Problem | None:
    """The first contradiction inside one event, or None. Runs for every event, so it looks only at what is set."""
    if event.team is not None and event.team != team:
        return Problem(
            "team",
            "wrong_team",
            "The key belongs to another team.",
            f"Leave team out (the key says it), or send '{team}'.",
        )
    if event.cached_input_tokens or event.cache_write_tokens:
        whole, parts = event.input_tokens, (event.cached_input_tokens or 0) + (event.cache_write_tokens or 0)
        if whole is not None and parts > whole:
            return _more_than_whole("cached_input_tokens", f"cached + cache-write tokens ({parts})", "input", whole)
    if event.reasoning_tokens and event.output_tokens is not None and event.reasoning_tokens > event.output_tokens:
        said = f"reasoning tokens ({event.reasoning_tokens})"
        return _more_than_whole("reasoning_tokens", said, "output", event.output_tokens)
    if event.cost_usd is not None and (problem := _money_problem("cost_usd", event.cost_usd)):
        return problem
    if event.reported_cost_usd is not None:
        return _money_problem("reported_cost_usd", event.reported_cost_usd)
    return None


def _more_than_whole(field: str, parts: str, whole: str, count: int) -> Problem:
    return Problem(
        field,
        "more_than_whole",
        f"{parts} are more than {whole}_tokens ({count}), of which they are a part.",
        f"Send {whole}_tokens with these included.",
    )


def _money_problem(field: str, amount: Decimal) -> Problem | None:
    if amount.is_finite() and 0 <= amount <= MAX_USD:
        return None
    return Problem(
        field, "out_of_range", f"{field} must be from 0 to {MAX_USD} USD.", "Send USD per call, or leave it out."
    )


def dimensions_problem(values: Dimensions, environment: str) -> Problem | None:
    """Why a combination of dimension values is refused, or None. `environment` is the key's, '' if it has none."""
    given, operation = values[_ENVIRONMENT], values[_OPERATION_AT]
    if environment and given and given != environment:
        return Problem(
            "environment",
            "wrong_environment",
            f"The key is for the environment '{environment}', the event says '{given}'.",
            "Leave environment out, or use a key of that environment.",
        )
    if operation and not _OPERATION.fullmatch(operation):
        return Problem(
            "operation",
            "pattern",
            "operation may have lower-case letters, digits, '_', '.' and '-'.",
            "Send a name such as chat, embeddings, retrieval or execute_tool.",
        )
    if values[_STATUS] in (None, "success") and values[_ERROR_TYPE]:
        return Problem(
            "error_type",
            "contradiction",
            f"The status is success and error_type is '{values[_ERROR_TYPE]}'.",
            "Send status 'error' (or blocked, fallback, cancelled), or leave error_type out.",
        )
    return None


def settled(values: Dimensions, environment: str) -> tuple[str, ...]:
    """Dimension values with the defaults filled in; '' where nothing is known."""
    full = [value or "" for value in values]
    full[_ENVIRONMENT] = full[_ENVIRONMENT] or environment
    full[_OPERATION_AT] = full[_OPERATION_AT] or "chat"
    full[_STATUS] = full[_STATUS] or "success"
    if full[_STATUS] == "error" and not full[_ERROR_TYPE]:
        full[_ERROR_TYPE] = "other"
    return tuple(full)


def text_problem(event: Event) -> Problem | None:
    """Characters PostgreSQL cannot store. Called only for bodies that have an escape able to make one."""
    for name in Event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, str) and "\x00" in value:
            return unstorable(name, value)
    return None


def unstorable(field: str, text: str) -> Problem:
    """The problem of a text with a NUL character, or of what usage.ingest.parse marked with one."""
    if NOT_A_NUMBER in text:
        return Problem(
            field,
            "not_a_number",
            f"{field} is NaN or Infinity.",
            "Send null, or leave it out, where a number is unknown.",
        )
    if LONE_SURROGATE in text:
        return Problem(
            field,
            "lone_surrogate",
            f"{field} has half of a surrogate pair (\\ud800 … \\udfff).",
            "Cut texts between characters, not between UTF-16 units.",
        )
    return Problem(
        field, "nul_character", f"{field} has a NUL character (\\u0000).", "Remove it; PostgreSQL cannot store it."
    )


def attributes_problem(attributes: dict[str, Any]) -> Problem | None:
    """Why `attributes` are refused, or None: number, name length, depth, size, characters."""
    if len(attributes) > MAX_ATTRIBUTES:
        message = f"{len(attributes)} attributes (unknown fields count too); at most {MAX_ATTRIBUTES} are kept."
        return Problem("attributes", "too_many_attributes", message, "Send fewer, or nest them under one name.")
    for name, value in attributes.items():
        if problem := _attribute_problem(name, value):
            return problem
    size = len(msgspec.json.encode(attributes))
    if size > MAX_ATTRIBUTE_BYTES:
        return attributes_too_large(size)
    return None


def _attribute_problem(name: str, value: Any) -> Problem | None:
    field = f"attributes.{name[:MAX_ATTRIBUTE_NAME]}"
    if len(name) > MAX_ATTRIBUTE_NAME:
        message = f"The name of an attribute has {len(name)} characters; at most {MAX_ATTRIBUTE_NAME} are kept."
        return Problem(field, "name_too_long", message, "Shorten the name.")
    if "\x00" in name:
        return unstorable("attributes", name)
    return _nested_problem(field, value, MAX_ATTRIBUTE_DEPTH - 1)


def _nested_problem(field: str, value: Any, levels: int) -> Problem | None:
    if isinstance(value, str):
        return unstorable(field, value) if "\x00" in value else None
    if not isinstance(value, dict | list):
        return None
    if not levels:
        message = f"{field} is nested deeper than {MAX_ATTRIBUTE_DEPTH} levels."
        return Problem(field, "too_deep", message, "Flatten it, or send it as a text.")
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    problems = (_nested_problem(field, one, levels - 1) for one in inner)
    return next((problem for problem in problems if problem), None)


def attributes_too_large(size: int) -> Problem:
    return Problem(
        "attributes",
        "attributes_too_large",
        f"attributes (unknown fields included) take {size} bytes as JSON; at most {MAX_ATTRIBUTE_BYTES} are kept.",
        "Send less; prompts and answers do not belong into events.",
    )
