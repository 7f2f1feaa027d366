"""Which edits of a budget one person may make alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

# Small increases add up over this time, or a large one could be made in steps.
WINDOW = timedelta(days=30)
TAKEN_BACK = timedelta(days=1)


@dataclass(frozen=True)
class Step:
    """A version of a budget: its limit since `at`, and whether a second person agreed to it."""

    at: datetime
    limit: Decimal
    approved: bool


def baseline(steps: Sequence[Step], now: datetime) -> Decimal:
    """The limit that an increase is measured from: the one in force 30 days ago, or the last one approved since.

    `steps` are the versions that count the same thing as the budget does now, oldest first, at least one.
    """
    begun = [step for step in steps if step.at <= now - WINDOW]
    since = [*begun[-1:], *(step for step in steps if step.at > now - WINDOW)]
    approved = [place for place, step in enumerate(since) if step.approved]
    return since[approved[-1] if approved else 0].limit


def needs_second_person(base: Decimal, limit: Decimal, share: Decimal) -> bool:
    """Whether a limit is more than `share` above the base."""
    return limit > base * (1 + share)


def loosenings(before: dict, after: dict, counted: Sequence[str]) -> list[str]:
    """What an edit takes away from the protection of a budget beside its limit; sentences, empty for none.

    `counted` are the names of the facts that say what is counted: with others, the limits cannot be compared.
    """
    found = []
    if [name for name in counted if before[name] != after[name]]:
        found.append("It counts something else than before.")
    if before["enforcement"] == "hard" and after["enforcement"] == "soft":
        found.append("Calls beyond the limit would no longer be denied.")
    if Decimal(after["approval_share"]) > Decimal(before["approval_share"]):
        found.append("Larger increases would need no second person.")
    if Decimal(after["rollover_share"]) > Decimal(before["rollover_share"]):
        found.append("More of what is left over would be carried on.")
    if before["on_failure"] == "closed" and after["on_failure"] == "open":
        found.append("Calls would go on while the desk cannot answer.")
    if any(not _blocks(after, row) for row in before["thresholds"] if row["action"] == "block"):
        found.append("A threshold that blocks would be taken away or come later.")
    return found


def _blocks(facts: dict, wanted: dict) -> bool:
    """Whether some threshold blocks no later than this one: at no more percent, for no less of the period."""
    return any(
        row["action"] == "block"
        and Decimal(row["percent"]) <= Decimal(wanted["percent"])
        and Decimal(row.get("before") or 100) >= Decimal(wanted.get("before") or 100)
        for row in facts["thresholds"]
    )


def ending_alone(created_at: datetime, now: datetime) -> bool:
    """Whether one person may end a budget. Without it every call is allowed, so that is the largest increase there is;
    only what was made within a day may be taken back, which leaves what was before."""
    return now - created_at < TAKEN_BACK
