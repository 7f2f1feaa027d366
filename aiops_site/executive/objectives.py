"""The objectives of what the page is about: those with the least error budget left first."""

from dataclasses import dataclass

from django.db.models import Q

from incidents.queries.slos import Attainment, attainment, visible_slos
from incidents.views.slo_shown import attained_text, promise
from usage.scope import Scope

SHOWN = 5


@dataclass(frozen=True)
class Line:
    """One objective: where it stands, its promise in words, what is attained."""

    one: Attainment
    promise: str
    attained: str


@dataclass(frozen=True)
class Objectives:
    """`lines`: least budget first, `more` are left out; of `judged` ones `kept` are, `missed` names the worst."""

    lines: list[Line]
    more: int
    judged: int
    kept: int
    missed: str


def read(scope: Scope, user) -> Objectives:
    """Each over its own window up to the end of the scope's; a team's own where one is chosen."""
    chosen = visible_slos(user).filter(Q(team=scope.team) if scope.team else Q(), is_active=True)
    found = sorted(attainment(chosen, scope.end), key=lambda one: (one.left is None, one.left or 0))
    judged = [one for one in found if one.left is not None]
    missed = [one for one in judged if one.left < 0]
    return Objectives(
        lines=[Line(one, promise(one.slo), attained_text(one.attained)) for one in found[:SHOWN]],
        more=max(len(found) - SHOWN, 0),
        judged=len(judged),
        kept=len(judged) - len(missed),
        missed=missed[0].slo.name if missed else "",
    )
