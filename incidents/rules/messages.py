"""Messages about an incident (DOMAIN: messages): drafts filled with facts, and who may send which. Pure.

What no figure knows stands in [brackets]; a message that leaves the house is not sent with one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from aiops_site import formats

INTERNAL, STATUS, EXECUTIVE, CUSTOMER = "internal", "status", "executive", "customer"
# What people outside read: a second person looks at it first.
REVIEWED = (STATUS, EXECUTIVE, CUSTOMER)
_GAP = re.compile(r"\[[^\]\n]{3,}\]")
# What users see when a part of this kind fails, in their words.
OUTCOMES = {
    "provider": "Answers may be slow or missing",
    "rate_limit": "Some requests are answered late or not at all",
    "retrieval": "Answers may lack sources or be less precise",
    "prompt": "Answers may be less helpful than usual",
    "model": "Answers may differ from what you are used to",
    "tool": "Some actions of the assistant do not work",
    "safety": "A part of the service is switched off as a precaution",
    "cost": "The service works; some answers may be shorter than usual",
    "data_drift": "Answers may be less precise",
    "application": "Some requests fail",
}


@dataclass(frozen=True)
class Facts:
    """What a draft is made from; None is unknown, and said so."""

    number: str
    title: str
    severity: str
    state: str
    since: datetime
    now: datetime
    failure_mode: str = ""
    failure_mode_label: str = ""
    scope: str = ""
    noun: str = "requests"
    requests: int = 0
    failing: Decimal | None = None
    usual: Decimal | None = None
    worst: list[str] = field(default_factory=list)
    cost: Decimal | None = None
    extra_cost: Decimal | None = None
    mitigations: list[str] = field(default_factory=list)
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    next_update: timedelta | None = None
    commander: str = ""


@dataclass(frozen=True)
class Draft:
    subject: str
    body: str


def draft(kind: str, facts: Facts) -> Draft:
    """The template of this kind, filled."""
    templates: dict[str, Callable[[Facts], Draft]] = {
        INTERNAL: _internal, STATUS: _status, EXECUTIVE: _executive, CUSTOMER: _customer,
    }  # fmt: skip
    return templates[kind](facts)


def gaps(text: str) -> list[str]:
    """What still stands in brackets."""
    return _GAP.findall(text)


def why_not(kind: str, *, approved: bool, leads: bool, private: bool, drill: bool) -> str:
    """Why a message may not be sent now; "" where it may.

    An internal update goes at once. What others read needs a second person's approval; who commands or communicates
    may send it alone, for at night there may be no second person, and that is recorded.
    """
    if kind in (STATUS, CUSTOMER) and (private or drill):
        return "Nobody outside is told of a private incident or a drill."
    if kind in REVIEWED and not approved and not leads:
        return "A second person approves it first; only the commander and communications may send it alone."
    return ""


def _internal(facts: Facts) -> Draft:
    mode = facts.failure_mode_label or "not known yet"
    lines = [
        f"What we see: {facts.title}. {_impact(facts)}",
        f"Impact: since {_at(facts.since)} ({_span(facts.now - facts.since)}){_where(facts)}.{_worst(facts)}",
        f"Suspected failure mode: {mode}.",
        f"Mitigation: {_mitigations(facts)}",
        f"Cost so far: {formats.money(facts.cost)}{_extra(facts)}.",
        "Next steps: [what is done next, and by whom]",
        f"Commander: {facts.commander or 'nobody yet'}. {_next(facts)}",
    ]
    return Draft(f"{facts.number} {facts.severity} {facts.state}: {facts.title}"[:200], "\n".join(lines))


def _status(facts: Facts) -> Draft:
    """No team, tenant, provider or cause: what users feel, and what they can do."""
    outcome = OUTCOMES.get(facts.failure_mode, "[what users notice, in their words]")
    if facts.resolved_at:
        length = _span(facts.resolved_at - facts.since)
        return Draft(outcome, f"This is over. It lasted from {_at(facts.since)} for {length}. We are sorry.")
    if facts.mitigated_at:
        return Draft(outcome, f"We have taken measures and see the service recover. We keep watching. {_next(facts)}")
    body = f"Since {_at(facts.since)}: {outcome[0].lower()}{outcome[1:]}. We are working on it.\n"
    return Draft(outcome, f"{body}Workaround: [what users can do meanwhile, or that there is none]\n{_next(facts)}")


def _executive(facts: Facts) -> Draft:
    length = _span((facts.resolved_at or facts.now) - facts.since)
    lines = [
        f"{facts.severity}, {facts.state.lower()}: {facts.title}.",
        f"Business impact: {_impact(facts)}{_worst(facts)} Lasting {length}.",
        f"Cost: {formats.money(facts.cost)}{_extra(facts)}.",
        f"What was done: {_mitigations(facts)}",
        "Risk: [what may still happen, and how likely]",
        "Data exposure: [none known, or what]",
        _next(facts),
    ]
    return Draft(f"{facts.number}: {facts.title}"[:200], "\n".join(line for line in lines if line))


def _customer(facts: Facts) -> Draft:
    """Plain words, no blame."""
    outcome = OUTCOMES.get(facts.failure_mode, "[what the customer noticed]")
    ended = facts.resolved_at or facts.mitigated_at
    when = f"from {_at(facts.since)}" + (f" until {_at(ended)}" if ended else " until now")
    lines = [
        "Hello [name],",
        f"{when[0].upper()}{when[1:]} our service did not work as it should: {outcome[0].lower()}{outcome[1:]}.",
        "It works again." if ended else "We are working on it and will write again as soon as it works.",
        "What you can do: [nothing, or the workaround]",
        "We are sorry for the trouble. Answer to this message if you have questions.",
    ]
    return Draft("About the disturbance of our service", "\n\n".join(lines))


# --- Parts --------------------------------------------------------------------------------------------------------
def _impact(facts: Facts) -> str:
    if facts.failing is None:
        return f"How many {facts.noun} fail is not known."
    usual = f" (usually {formats.percent(facts.usual)})" if facts.usual is not None else ""
    return f"{formats.percent(facts.failing)} of {formats.exact(facts.requests)} {facts.noun} failed{usual}."


def _worst(facts: Facts) -> str:
    return f" Most hit: {', '.join(facts.worst)}." if facts.worst else ""


def _where(facts: Facts) -> str:
    return f", in {facts.scope}" if facts.scope else ""


def _mitigations(facts: Facts) -> str:
    return "; ".join(facts.mitigations) + "." if facts.mitigations else "none yet."


def _extra(facts: Facts) -> str:
    if facts.extra_cost is None:
        return ""
    word = "more" if facts.extra_cost >= 0 else "less"
    return f", {formats.money(abs(facts.extra_cost))} {word} than usual"


def _next(facts: Facts) -> str:
    if facts.resolved_at or facts.next_update is None:
        return ""
    return f"Next update by {_at(facts.now + facts.next_update)}."


def _at(moment: datetime) -> str:
    return f"{moment:%-d %b %H:%M} UTC"


def _span(length: timedelta) -> str:
    return formats.span_text(timedelta(minutes=max(length // timedelta(minutes=1), 1)))
