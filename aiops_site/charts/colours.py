"""Which of the eight category colours a name gets: the same on every page, whatever else is drawn beside it."""

from collections.abc import Iterable
from hashlib import blake2b

COUNT = 8
TONES = ("ok", "warn", "bad", "info", "accent", "muted", "previous")
# Names whose colour carries meaning or an order, so that it is not left to the hash.
FIXED = {"p50": "var(--c7)", "p95": "var(--c1)", "p99": "var(--c6)", "other": "var(--c-muted)"}
MUTED = {"", "unknown", "unpriced", "none", "(none)"}


def slot(name: str) -> int:
    """The slot 1 to 8 that `name` asks for. BLAKE2, as Python's hash() changes from run to run."""
    return blake2b(name.strip().lower().encode(), digest_size=2).digest()[0] % COUNT + 1


def slots(names: Iterable[str]) -> dict[str, int]:
    """Names to slots, without a collision while there are at most eight of them.

    A name keeps its own slot where it can; of two that ask for the same, the first in the alphabet has it and the
    other takes the next free one.
    """
    taken: dict[str, int] = {}
    for name in sorted(set(names), key=lambda n: (slot(n), n)):
        used = set(taken.values())
        ring = [(slot(name) - 1 + step) % COUNT + 1 for step in range(COUNT)]
        taken[name] = next((free for free in ring if free not in used), ring[0])
    return taken


def colours(names: Iterable[str]) -> dict[str, str]:
    """Names to CSS colours (custom properties that follow the theme)."""
    free = {n for n in names if n.lower() not in FIXED and n.lower() not in MUTED}
    category = {name: f"var(--c{number})" for name, number in slots(free).items()}
    return {n: category.get(n) or FIXED.get(n.lower(), "var(--c-muted)") for n in names}


def tone(name: str) -> str:
    """The colour of a meaning."""
    return f"var(--c-{name})" if name in ("muted", "previous") else f"var(--{name})"
