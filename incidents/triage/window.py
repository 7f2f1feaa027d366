"""Which window of an incident is assessed, and what fits against what was found."""

from datetime import datetime, timedelta

from incidents.models import FailureMode, Incident
from incidents.queries.triage import COUNTERS
from incidents.rules.triage.advice import Mitigation, Situation, fitting
from incidents.rules.triage.modes import BY_MODE
from incidents.rules.triage.picture import telling
from incidents.rules.triage.signals import BY_NAME
from incidents.triage.assessment import Assessment, assess
from usage.measures import DRILL_ENVIRONMENT

DETECTION = timedelta(minutes=10)
LONGEST = timedelta(days=7)  # a week of a lasting incident tells its signature; its baseline is the weeks before
# What is watched where the signal that leads is none that a window's counters have.
INSTEAD = "requests_fail"
# What of an incident's slice its controls stay within.
WITHIN = ("environment", "tenant", "feature")


def assess_incident(incident: Incident, team_ids: tuple[int, ...], now: datetime) -> Assessment:
    """The incident's slice from the beginning of its impact until that was over, or now. Raises QueryError.

    An alert begins only after its window and "for": the impact is taken to have begun at least DETECTION before.
    """
    start = min(incident.impact_started_at, incident.detected_at - DETECTION)
    end = min(incident.mitigated_at or incident.resolved_at or now, start + LONGEST)
    return assess(team_ids=team_ids, scope=scope_of(incident), start=start, end=end, at=now)


def scope_of(incident: Incident) -> dict[str, list[str]]:
    """The incident's slice; that of a drill is its environment, whatever else was chosen."""
    drill = {"environment": [DRILL_ENVIRONMENT]} if incident.is_drill else {}
    return incident.scope | drill


def mitigations(found: Assessment, mode: str = "", scope: dict[str, list[str]] | None = None) -> list[Mitigation]:
    """What fits `mode`, else what the evidence ranks first; of "other" and where nothing stands out, what fits all."""
    chosen = mode or (found.first.mode.value if found.confidence != "none" else FailureMode.OTHER.value)
    radius = found.radius_of(chosen) if chosen != FailureMode.OTHER else None
    within = {name: values[0] for name, values in (scope or {}).items() if name in WITHIN and len(values) == 1}
    signal = watched_signal(found, chosen)
    situation = Situation(found.picture, radius or found.radius, found.suspects, signal, within)
    return fitting(chosen, situation)


def usual_of(found: Assessment, one: Mitigation) -> tuple[float, int] | None:
    """The usual (bad, base) of the signal that is watched, over the slice that is watched; None where it is unknown."""
    if one.signal not in BY_NAME:
        return one.usual
    signal, table = BY_NAME[one.signal], found.picture.table
    places = [
        place
        for place, key in enumerate(table.keys)
        if all(
            key[table.dimensions.index(name)] in values
            for name, values in one.watched.items()
            if name in table.dimensions
        )
    ]
    reading = table.reading(signal, places)
    return (reading.usual_bad, reading.usual_base) if reading.usual_base else None


def watched_signal(found: Assessment, mode: str) -> str:
    """The signal that shows whether something helped against this mode: its own if it moved."""
    leads = BY_MODE[FailureMode(mode)].leads if mode != FailureMode.OTHER else ()
    moved = telling(found.moves, leads) or (found.radius.signal.name if found.radius else "")
    counted = {name for name, one in BY_NAME.items() if {one.bad, one.base} <= set(COUNTERS)}
    return moved if moved in counted else INSTEAD
