"""An assessment as plain JSON: what pages draw, and what the timeline keeps as it was. Times are ISO texts in UTC."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from aiops_site import formats
from incidents.models import FailureMode
from incidents.rules.triage.modes import Evidence, Ranked
from incidents.rules.triage.picture import Impact, Recent
from incidents.rules.triage.radius import Dimension, Radius, Where
from incidents.rules.triage.signs import Link, told, words
from incidents.rules.triage.tables import Place
from incidents.triage.assessment import Assessment
from usage.links import UNTAGGED, explain_url
from usage.rules.spend import Window

SUSPECTS = 4
MODES_KEPT = 10


def shown(found: Assessment, *, scope: dict[str, list[str]], team: str = "", mode: str = "") -> dict[str, Any]:
    """Everything a page says. team: slug for links; mode: whose blast radius to show instead of the first's."""
    links = Links(found, scope, team)
    radius = found.radius_of(mode) if mode and mode != FailureMode.OTHER else found.radius
    return {
        "start": formats.iso(found.window.start),
        "end": formats.iso(found.window.end),
        "at": formats.iso(found.at),
        "baseline": found.baseline.label,
        "confidence": found.confidence,
        "finding": finding(found),
        "impact": _impact(found.impact),
        "modes": [_mode(one, links) for one in found.modes[:MODES_KEPT]],
        "radius": _radius(radius, links) if radius else None,
        "onset": formats.iso(found.onset.at) if found.onset else None,
        "suspects": [_suspect(one) for one in found.suspects[:SUSPECTS]],
    }


def finding(found: Assessment) -> str:
    """The answer in a sentence."""
    if found.confidence == "none":
        return "Nothing stands out against the usual. Widen the window, or narrow the scope."
    second = found.modes[1]
    text = f"{found.first.mode.label}: {_points(found.first.score)} points of evidence"
    if found.confidence == "likely" or second.score > 0:
        text += f", {second.mode.label[0].lower()}{second.mode.label[1:]} next with {_points(second.score)}"
    return f"{text}."


class Links:
    """Addresses of the numbers behind what is said, in the window assessed."""

    def __init__(self, found: Assessment, scope: dict[str, list[str]], team: str) -> None:
        self.window, self.scope, self.team = found.window, scope, team
        self.before: Window | None = found.baseline.windows[0] if found.baseline.windows else None

    def url(self, link: Link | None) -> str:
        if link is None:
            return ""
        filters = {name: tuple(values) for name, values in self.scope.items() if name != "team"}
        if link.page == "explain":
            named = {name: (value,) for name, value in link.filters.items() if name != "team"}
            team = link.filters.get("team", self.team)
            return explain_url(link.metric, self.window, self.before, team=team, filters=filters | named)
        page = {"events": "event-list", "changes": "change-list"}[link.page]
        team = link.filters.get("team", self.team)
        pairs = [
            ("from", formats.iso(self.window.start)),
            ("to", formats.iso(self.window.end)),
            *((("team", team),) if team else ()),
        ]
        own = {name: (value,) for name, value in link.filters.items() if name != "team"}
        kept = filters | own if link.page == "events" else {}
        pairs += [(name, value or UNTAGGED) for name, values in kept.items() for value in values]
        return f"{reverse(page)}?{urlencode(pairs)}"


# --- Parts ----------------------------------------------------------------------------------------------------------
def _impact(impact: Impact) -> list[dict[str, str]]:
    """Rows of "confirm the impact": label, now, usual."""
    failed = f"{formats.exact(impact.failed)} of {formats.counted(impact.requests, 'requests')}"
    return [
        {"label": "Failed requests", "now": failed, "usual": ""},
        _row("Error rate", impact.error_rate, impact.usual_error_rate, "%"),
        _row("Latency p95", impact.p95, impact.usual_p95, "ms"),
        _row("Spend", impact.cost_per_hour, impact.usual_cost_per_hour, "USD/h"),
    ]


def _row(label: str, now: Decimal | float | None, usual: Decimal | float | None, unit: str) -> dict[str, str]:
    return {"label": label, "now": formats.figure(now, unit), "usual": formats.figure(usual, unit)}


def _mode(one: Ranked, links: Links) -> dict[str, Any]:
    return {
        "mode": one.mode.value,
        "label": one.mode.label,
        "score": _points(one.score),
        "supporting": [_evidence(piece, links) for piece in one.supporting],
        "opposing": [_evidence(piece, links) for piece in one.opposing],
    }


def _evidence(piece: Evidence, links: Links) -> dict[str, Any]:
    return {
        "text": piece.sign.text,
        "points": _points(piece.points, signed=True),
        "core": piece.core,
        "url": links.url(piece.sign.link),
    }


def _points(value: float, *, signed: bool = False) -> str:
    text = f"{abs(value):.1f}"
    return f"{formats.MINUS if value < -0.05 else '+' if signed else ''}{text}"


def _radius(radius: Radius, links: Links) -> dict[str, Any]:
    values = radius.values
    return {
        "signal": radius.signal.label,
        "text": radius_text(radius),
        "inside": told(radius.signal, radius.inside),
        "outside": told(radius.signal, radius.outside) if radius.outside.base else "",
        "share": formats.percent(radius.share) if radius.share is not None and radius.clauses else "",
        "traffic": formats.percent(radius.traffic) if radius.traffic is not None and radius.clauses else "",
        "lift": f"{radius.lift:.1f}" if radius.lift is not None and radius.clauses else "",
        "amount": radius.signal.kind == "amount",
        "values": values,
        "new": [{"dimension": words(n.dimension), "value": n.value, "instead": n.instead} for n in radius.new],
        "dimensions": [_dimension(one, radius, links) for one in radius.dimensions],
    }


def radius_text(radius: Radius) -> str:
    """ "provider openai", "feature answer-box and site-search", "all traffic"."""
    named: dict[str, list[str]] = {}
    if any(len(clause) > 1 for clause in radius.clauses):
        text = "; ".join(_clause(clause) for clause in radius.clauses)
    else:
        for ((name, value),) in radius.clauses:
            named.setdefault(name, []).append(value or UNTAGGED)
        text = "; ".join(f"{words(name)} {formats.joined(values)}" for name, values in named.items())
    new = [f"{words(one.dimension)} {one.value}" for one in radius.new]
    return ", new ".join([text or "all traffic", *new])


def _clause(clause: Where) -> str:
    return " with ".join(f"{words(name)} {value or UNTAGGED}" for name, value in clause)


def _dimension(one: Dimension, radius: Radius, links: Links) -> dict[str, Any]:
    return {
        "name": words(one.name),
        "hit": [_place(place, radius, links) for place in one.hit],
        "spared": [_place(place, radius, links) for place in one.spared],
    }


def _place(place: Place, radius: Radius, links: Links) -> dict[str, str]:
    unit = radius.signal.unit
    return {
        "value": place.value,
        "rate": formats.figure(place.reading.rate, unit),
        "usual": formats.figure(place.reading.usual, unit),
        "count": formats.exact(place.reading.base),
        "url": links.url(Link("events", radius.signal.evidence | {place.dimension: place.value})),
    }


def _suspect(one: Recent) -> dict[str, Any]:
    return {
        "id": one.id,
        "at": formats.iso(one.at),
        "kind": one.kind,
        "title": one.title,
        "why": one.why,
        "strong": one.names_it and one.closeness >= 0.25,
        "url": one.url,
    }
