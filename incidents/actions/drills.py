"""Starting, watching and ending drills."""

from datetime import datetime, timedelta
from random import SystemRandom

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.actions import Author, audit, create_api_key, revoke_api_key
from accounts.models import ApiKey, Scope, Team
from incidents.controls import end_control, in_force
from incidents.models import Drill
from incidents.queries.drills import controls_of, reaction
from incidents.rules.drills import MOMENTS, SCENARIOS
from usage.measures import DRILL_ENVIRONMENT

SHORTEST, LONGEST = timedelta(minutes=5), timedelta(hours=4)
# Nobody knows the moment beforehand, or they would look at the clock instead of the desk.
_EARLIEST_FAULT, _LATEST_FAULT = 60, 120
_dice = SystemRandom()


def start_drill(
    *, author: Author, team: Team, kind: str, scenario: str, lasts: timedelta, is_blind: bool, at: datetime
) -> Drill:
    """Begin a drill, with an API key of its own for the simulated callers of a game day.

    Raises ValidationError by field: unknown scenario, a length out of bounds, a game day that runs already.
    """
    if scenario not in SCENARIOS:
        raise ValidationError({"scenario": "Choose one of the scenarios."})
    if not SHORTEST <= lasts <= LONGEST:
        raise ValidationError({"lasts": "Between 5 minutes and 4 hours."})
    game_day = kind == Drill.Kind.GAME_DAY
    fault_at = at + timedelta(seconds=_dice.randint(_EARLIEST_FAULT, _LATEST_FAULT)) if game_day else at
    facts = {"team": team, "kind": kind, "scenario": scenario, "is_blind": is_blind and game_day}
    facts |= {"started_by": author.user, "started_at": at, "fault_at": fault_at, "ends_at": at + lasts}
    try:
        with transaction.atomic():
            drill = Drill.objects.create(**facts)
            if game_day:
                drill.api_key = _key(author, drill)
                drill.save(update_fields=["api_key"])
            after = {"scenario": scenario, "kind": kind, "ends_at": drill.ends_at.isoformat()}
            audit(**author.signature, action="drill.started", target=drill, team=team, after=after)
    except IntegrityError:
        raise ValidationError({"team": f"A game day of {team} runs already. End it first."}) from None
    return drill


def _key(author: Author, drill: Drill) -> ApiKey:
    scopes = [Scope.INGEST, Scope.GUARD]
    name = f"Simulated callers of drill {drill.pk}"
    return create_api_key(team=drill.team, name=name, scopes=scopes, environment=DRILL_ENVIRONMENT, **author.signature)[
        0
    ]


def observe(drill: Drill, now: datetime) -> None:
    """Note the moments that are on record by now. Of classifications the last counts, of the others the first."""
    seen = reaction(drill, now)
    known = {
        "incident": drill.incident or seen.incident,
        "detected_at": drill.detected_at or seen.detected_at,
        "acknowledged_at": drill.acknowledged_at or seen.acknowledged_at,
        "mitigated_at": drill.mitigated_at or seen.mitigated_at,
        "classified_at": seen.classified_at,
        "classified_as": seen.classified_as,
    }
    Drill.objects.filter(pk=drill.pk, state=Drill.State.RUNNING).update(**known)


def say_moment(*, author: Author, drill: Drill, moment: str, at: datetime, classified_as: str = "") -> None:
    """Of a tabletop people say when they would have detected, acknowledged, classified or mitigated it; once each.

    Raises ValidationError where it does not run, or the moment is not one, or was said before.
    """
    if drill.kind != Drill.Kind.TABLETOP or moment not in MOMENTS:
        raise ValidationError("Only the moments of a tabletop are said by people.")
    if moment == "classified" and not classified_as:
        raise ValidationError({"classified_as": "Choose the failure mode you decided on."})
    values = {f"{moment}_at": at} | ({"classified_as": classified_as} if moment == "classified" else {})
    with transaction.atomic():
        unsaid = Drill.objects.filter(pk=drill.pk, state=Drill.State.RUNNING, **{f"{moment}_at": None})
        if not unsaid.update(**values):
            raise ValidationError("That was said before, or the drill has ended.")
        audit(**author.signature, action=f"drill.{moment}", target=drill, team=drill.team)


def end_drill(*, author: Author, drill: Drill, at: datetime, cancelled: bool = False) -> bool:
    """End a running drill: no more telemetry, its key is revoked, controls over its calls end; whether it ran.

    A cancelled one has no score.
    """
    if drill.kind == Drill.Kind.GAME_DAY:
        observe(drill, at)
    state = Drill.State.CANCELLED if cancelled else Drill.State.ENDED
    with transaction.atomic():
        running = Drill.objects.filter(pk=drill.pk, state=Drill.State.RUNNING)
        if not running.update(state=state, ended_at=at):
            return False
        if drill.api_key:
            revoke_api_key(key=drill.api_key, **author.signature)
        for control in controls_of(drill).filter(pk__in=in_force(at), team=drill.team):
            end_control(author=author, control=control, reason=f"{drill} has ended", at=at)
        audit(**author.signature, action=f"drill.{state}", target=drill, team=drill.team)
    return True


def end_overdue(now: datetime) -> int:
    """End the drills whose time is over; returns how many."""
    overdue = Drill.objects.filter(state=Drill.State.RUNNING, ends_at__lte=now).select_related("team", "api_key")
    return sum(end_drill(author=Author(label="drills"), drill=drill, at=now) for drill in overdue)


class Outdated(Exception):
    """Somebody saved the notes since they were read; `drill` is as it is now."""

    def __init__(self, drill: Drill) -> None:
        self.drill = drill
        super().__init__("The notes were changed meanwhile.")


def save_notes(*, author: Author, drill: Drill, notes: str, version: int) -> None:
    """Keep what was learned. `version`: of the notes that the edit began with; raises Outdated at another one."""
    with transaction.atomic():
        current = Drill.objects.select_for_update(of=("self",)).select_related("team").get(pk=drill.pk)
        if current.notes_version != version:
            raise Outdated(current)
        if current.notes == notes:
            return
        Drill.objects.filter(pk=drill.pk).update(notes=notes, notes_version=version + 1)
        audit(
            **author.signature,
            action="drill.notes",
            target=current,
            team=current.team,
            before={"notes": current.notes},
            after={"notes": notes},
        )
