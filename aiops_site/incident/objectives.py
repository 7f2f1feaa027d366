"""How fast the error budgets burn: the objectives of what the page looks at, those in trouble first."""

from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest

from accounts.access import person_of
from aiops_site import formats
from incidents.models import Slo
from incidents.queries.slos import Attainment, attainment, burns, visible_slos
from incidents.rules.slos import Burn
from incidents.views.slo_shown import lasts_text, promise, rate_text
from usage.scope import Scope

SHOWN = 6
WINDOWS = (3600, 21600)


@dataclass(frozen=True)
class Line:
    """One objective with its burn in the last hour and the last six."""

    one: Attainment
    promise: str
    hour: str
    six: str
    lasts: str


def read(request: HttpRequest, scope: Scope) -> dict:
    """The team's objectives where one is chosen, else all the viewer sees, up to the end of the scope's window."""
    chosen = list(visible_slos(person_of(request)).filter(Q(team=scope.team) if scope.team else Q(), is_active=True))
    now = burns(chosen, WINDOWS, scope.end)
    found = attainment(_in_question(chosen, now), scope.end)
    found.sort(key=lambda one: (-_rate(now[one.slo.pk][WINDOWS[0]]), one.left is None, one.left or 0))
    lines = [_line(one, now[one.slo.pk]) for one in found[:SHOWN]]
    return {"objectives": lines, "objectives_title": title(found), "rest": max(len(chosen) - SHOWN, 0)}


def _in_question(slos: list[Slo], now: dict[int, dict[int, Burn]]) -> list[Slo]:
    """Those that can be among the SHOWN: a month need not be read of hundreds that burn less while some burn fast."""
    rates = sorted((_rate(now[slo.pk][WINDOWS[0]]) for slo in slos), reverse=True)
    if len(slos) <= SHOWN or rates[0] <= 1 or not rates[SHOWN - 1]:
        return slos
    return [slo for slo in slos if _rate(now[slo.pk][WINDOWS[0]]) >= rates[SHOWN - 1]]


def _line(one: Attainment, now: dict[int, Burn]) -> Line:
    hour, six = (rate_text(now[window].burn_rate) for window in WINDOWS)
    return Line(one, promise(one.slo), hour, six, lasts_text(one))


def _rate(burn: Burn) -> float:
    return float(burn.burn_rate or 0)


def title(found: list[Attainment]) -> str:
    """ "Error budgets: Support answers burns at 9.7×"."""
    if not found:
        return "Error budgets"
    fastest = max(found, key=lambda one: _rate(one.now))
    if _rate(fastest.now) > 1:
        return f"Error budgets: {fastest.slo.name} burns at {rate_text(fastest.now.burn_rate)}"
    spent = sum(one.left is not None and one.left < 0 for one in found)
    quiet = "none burns faster than it may in the last hour"
    return (
        f"Error budgets: {formats.counted(spent, 'objectives')} missed, {quiet}" if spent else f"Error budgets: {quiet}"
    )
