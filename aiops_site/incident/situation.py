"""Where to look: the spells of the scope's timeline, and the window every part of the page speaks of."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from aiops_site.incident import spells, timeline
from aiops_site.incident.spells import Spell
from aiops_site.incident.timeline import Timeline
from usage.queries.history import known_since
from usage.scope import Scope

LIVE_WITHIN = timedelta(minutes=2)  # a window that ends this close to now is "now"
SHORT, LONG = timedelta(minutes=15), timedelta(hours=1)
# What is usual is read over so much more on both sides of the hour a week earlier: one hour of thin traffic is chance.
AROUND = timedelta(minutes=90)
SHORT_NEEDS = 50  # requests in the short window, else the verdict speaks of the long one


@dataclass(frozen=True)
class Situation:
    """The answer to "where do I look?".

    live: the scope ends now. spell: the failing stretch the page speaks of, None when nothing stands out. focus: the
    window of that spell, else the scope's own; usual: the same window whole weeks earlier. history: since when there
    are figures; rates over a time before it would be too low.
    """

    scope: Scope
    timeline: Timeline
    live: bool
    spell: Spell | None
    past: Spell | None
    focus: Scope
    usual: Scope
    history: datetime | None


def look(scope: Scope) -> Situation:
    """The timeline, and since when there are figures. A live page speaks of a spell only while it lasts; a
    past one of its worst.
    """
    seen = timeline.read(scope, timezone.now())
    found = [s for s in all_spells(seen) if s.end > scope.start]
    live = is_live(scope)
    worst = spells.worst(found)
    spell = worst if worst and (worst.ongoing or not live) else None
    focus = scope.between(max(spell.start, scope.start), min(spell.end, scope.end)) if spell else scope
    return Situation(
        scope,
        seen,
        live,
        spell,
        past=worst if not spell else None,
        focus=focus,
        usual=focus.shifted("week"),
        history=known_since(scope.team_ids),
    )


def is_live(scope: Scope) -> bool:
    """Whether the scope ends now, so that the page refreshes and speaks of the last minutes."""
    return timezone.now() - scope.end < LIVE_WITHIN


def all_spells(seen: Timeline) -> list[Spell]:
    """Spells of requests and of each provider."""
    return [s for subject, slots in seen.subjects.items() for s in spells.find(subject, slots, seen.end)]


@dataclass(frozen=True)
class Windows:
    """short: what the verdict speaks of; long: what stands beside it; usual: the hours a week earlier, AROUND wider."""

    short: Scope
    long: Scope
    usual: Scope


def windows(situation: Situation) -> Windows:
    """Live: the last 15 minutes, or with too little traffic in them the spell that lasts or the last hour; the last
    hour; the hours round it a week ago. Past: the spell or the whole window; the whole window; the former a week ago.
    """
    scope = situation.scope
    if not situation.live:
        return Windows(situation.focus, scope, _around(situation.usual, situation.history))
    hour = scope.last(LONG)
    if _busy(situation):
        short = scope.last(SHORT)
    else:
        short = scope.between(max(situation.focus.start, hour.start), hour.end) if situation.spell else hour
    return Windows(short, hour, _around(hour.shifted("week"), situation.history))


def _around(scope: Scope, history: datetime | None) -> Scope:
    return scope.between(scope.start - AROUND, scope.end + AROUND).since(history)


def _busy(situation: Situation) -> bool:
    first = situation.scope.end - SHORT
    return sum(slot.count for slot in situation.timeline.requests if slot.start >= first) >= SHORT_NEEDS
