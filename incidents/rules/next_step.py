"""What to do next in an incident: one thing, by its state. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_site import formats
from incidents.rules import states

WATCHED = timedelta(minutes=15)  # how long a mitigation is watched before it counts as having held


@dataclass(frozen=True)
class Situation:
    """What the next step depends on. silence_since: when people were last told something."""

    state: str
    acknowledged: bool
    commanded: bool
    failure_mode: str
    mitigations: int
    mitigated_at: datetime | None
    next_update_at: datetime | None
    told: bool


@dataclass(frozen=True)
class Step:
    """A sentence to act on, why, and the act: "acknowledge", "command", "state:…", "panel:…" or ""."""

    do: str
    why: str
    act: str


def next_step(now_is: Situation, now: datetime) -> Step:
    """The first thing that is still open, in the order of a bad night."""
    if not now_is.acknowledged:
        return Step(
            "Acknowledge it", "Nobody has said yet that they are on it. The pager goes on until then.", "acknowledge"
        )
    if now_is.state in states.OPEN:
        return _overdue(now_is, now) or _open_step(now_is, now)
    if now_is.state == states.RESOLVED:
        return Step("Write the postmortem", "Within 48 hours, while everyone remembers.", "panel:postmortem")
    return Step("Nothing is left to do", "It is resolved and learned from.", "")


def _overdue(now_is: Situation, now: datetime) -> Step | None:
    if now_is.next_update_at is None or now_is.next_update_at > now:
        return None
    late = formats.in_minutes(now - now_is.next_update_at)
    return Step("Send the update you promised", f"It is {late} overdue; people wait for it.", "panel:messages")


def _open_step(now_is: Situation, now: datetime) -> Step:
    if not now_is.commanded:
        return Step("Take command", "One person decides, the others act. It can be handed over at any time.", "command")
    if not now_is.failure_mode:
        return Step(
            "Find out what fails",
            "Read the triage: what the evidence ranks first, and where the failures are.",
            "panel:triage",
        )
    if not now_is.mitigations and now_is.state != states.MONITORING:
        return Step("Stop the harm first", "Choose a reversible mitigation; the cause can wait.", "panel:mitigations")
    if not now_is.told:
        return Step("Tell people", "A first internal update, even if little is known.", "panel:messages")
    if now_is.state != states.MONITORING:
        return Step(
            "Did it help?", "When the signal is back to its usual, say that you only watch now.", "state:monitoring"
        )
    left = (now_is.mitigated_at or now) + WATCHED - now
    if left > timedelta():
        return Step(
            "Watch it",
            f"Resolve when it has held for {formats.span_text(WATCHED)}; {formats.in_minutes(left)} to go.",
            "panel:watch",
        )
    return Step("Resolve it", f"It has held for {formats.span_text(WATCHED)}.", "state:resolved")
