"""The first sentence and the red rows under it: what is wrong, in words, the worst first. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from aiops_site import formats
from aiops_site.incident import rules
from aiops_site.incident.rules import SIGNALS, Reading, Signal, Tone, Value
from aiops_site.incident.spells import Spell

Values = Mapping[str, Value]


@dataclass(frozen=True)
class Finding:
    """One red or amber row. `filters` narrow the events page to the evidence."""

    tone: Tone
    label: str
    text: str
    filters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provider:
    """How one provider did in the window the verdict speaks of."""

    name: str
    calls: int
    error_rate: Value
    usual_error_rate: Value


@dataclass(frozen=True)
class Facts:
    """What a verdict is made from.

    now, hour, usual: figures of the judged window, of the longer one beside it, and of the same hours a week earlier.
    label: the judged window in words ("in the last 15 min"). silent_minutes: since the last event, None if unknown.
    """

    now: Values
    hour: Values
    usual: Values
    providers: list[Provider]
    spell: Spell | None
    live: bool
    label: str
    hour_label: str
    zone: ZoneInfo
    noun: str = "requests"
    silent_minutes: float | None = None


@dataclass(frozen=True)
class Verdict:
    """tone, the state in a word or two ("Failing since 13:40, 32 min"), and the sentence that says how much."""

    tone: Literal["bad", "warn", "ok", "neutral"]
    head: str
    text: str
    findings: list[Finding]


def give(facts: Facts) -> Verdict:
    """The verdict: silence first, then what is wrong, then too little traffic, then all is well."""
    given = _given(facts)
    # A number and its per cent sign stay on one line.
    return replace(given, text=given.text.replace(" %", "\N{NO-BREAK SPACE}%"))


def _given(facts: Facts) -> Verdict:
    found = findings(facts)
    if facts.live and rules.is_silent(facts.silent_minutes or 0, _usual_per_hour(facts)):
        return _silent(facts, found)
    if found and found[0].tone == "bad":
        told = _told(facts, found)
        return Verdict("bad", _head(facts, told), _text(facts, told), found)
    if facts.hour["requests"] < rules.MIN_REQUESTS:
        return _unsure(facts, found)
    if found:
        return Verdict("warn", _head(facts, found[0]), _text(facts, found[0]), found)
    return Verdict("ok", "Answering normally" if facts.live else "Nothing stands out", _well(facts), found)


def findings(facts: Facts) -> list[Finding]:
    """Every signal beyond its limit, providers one by one, the worst first."""
    rows = [_no_success(facts), *(_finding(facts, signal) for signal in SIGNALS if signal.metric != "call_error_rate")]
    rows[2:2] = [_provider(facts, provider) for provider in facts.providers]
    return sorted((row for row in rows if row), key=lambda row: rules.TONE_RANK[row.tone])


def _told(facts: Facts, found: list[Finding]) -> Finding:
    """The finding the sentence is about: that of the failing provider, if one fails, else the worst."""
    subject = facts.spell.subject if facts.spell else ""
    return next((row for row in found if subject and row.label == subject), found[0])


def _finding(facts: Facts, signal: Signal) -> Finding | None:
    reading = reading_of(signal, facts.now, facts.usual)
    tone = rules.grade(signal, reading)
    if tone not in ("bad", "warn"):
        return None
    words = signal.says.format(
        value=formats.figure(reading.value, signal.unit), count=formats.exact(reading.count), noun=facts.noun
    )
    return Finding(tone, signal.label, _sentence(words, _usually(signal, reading)), signal.drill)


def reading_of(signal: Signal, now: Values, usual: Values) -> Reading:
    """What a signal is graded on. A week without traffic has no usual figure, even where a sum would be 0."""
    return Reading(now[signal.metric], usual[signal.metric] if usual["events"] else None, int(now[signal.base] or 0))


def _usually(signal: Signal, reading: Reading) -> str:
    return "" if reading.usual is None else f"usually {formats.figure(reading.usual, signal.unit)}"


def _sentence(words: str, aside: str) -> str:
    text = f"{words} ({aside})" if aside else words
    return f"{text}." if text.startswith("p9") else f"{text[0].upper()}{text[1:]}."


def _no_success(facts: Facts) -> Finding | None:
    requests = facts.now["requests"]
    if facts.now["successes"] or facts.now["errors"] < rules.MIN_FAILURES:
        return None
    return Finding("bad", "No success", f"None of {formats.exact(requests)} {facts.noun} succeeded.", rules.FAILED)


def _provider(facts: Facts, provider: Provider) -> Finding | None:
    signal = rules.BY_METRIC["call_error_rate"]
    reading = Reading(provider.error_rate, provider.usual_error_rate, provider.calls)
    tone = rules.grade(signal, reading)
    if tone not in ("bad", "warn"):
        return None
    words = f"{formats.percent(reading.value)} of {formats.exact(provider.calls)} calls to {provider.name} fail"
    filters = {"provider": provider.name, "status": "error"}
    return Finding(tone, provider.name, _sentence(words, _usually(signal, reading)), filters)


# --- The sentence -------------------------------------------------------------------------------------------------
def _head(facts: Facts, worst: Finding) -> str:
    """ "openai failing since 11:00 (50 min)" while it lasts, "Failed 11:00–11:50" afterwards."""
    spell = facts.spell
    if spell is None:
        return f"{_state(facts, worst)}: {worst.label.lower()}"
    subject = spell.subject or _state(facts, worst)
    start, end = (moment.astimezone(facts.zone) for moment in (spell.start, spell.end))
    length = formats.span_text(timedelta(minutes=spell.length // timedelta(minutes=1)))
    if spell.ongoing and facts.live:
        word = "failing " if spell.subject else ""
        return f"{subject} {word}since {start:%H:%M} ({length})"
    return f"{spell.subject or 'Requests'} failing {start:%-d %b %H:%M}–{end:%H:%M} ({length})"


def _state(facts: Facts, worst: Finding) -> str:
    if worst.tone == "warn":
        return "Watch"
    rate = facts.now["error_rate"]
    if rate is not None and rate >= rules.MOST_FAIL:
        return "Down"
    return "Failing" if worst.label == rules.BY_METRIC["error_rate"].label else "Degraded"


def _text(facts: Facts, worst: Finding) -> str:
    """The worst finding, and how requests fare when that is not what it says."""
    if worst.label in ("No success", rules.BY_METRIC["error_rate"].label):
        return f"{facts.label}: {worst.text[0].lower()}{worst.text[1:]}"
    answered = facts.now["availability"]
    if answered is None:
        return f"{facts.label}: {worst.text[0].lower()}{worst.text[1:]}"
    return (
        f"{facts.label}: {worst.text[0].lower()}{worst.text[1:]} {formats.percent(answered)} of {facts.noun} succeed."
    )


def _well(facts: Facts) -> str:
    now, usual = facts.now, facts.usual
    answered = f"{formats.percent(now['availability'])} of {formats.exact(now['requests'])} {facts.noun} succeed"
    text = f"{facts.label}: {answered}, p95 {formats.duration(now['latency_p95'])}"
    if usual["availability"] is None:
        return f"{text}. No traffic a week earlier to compare with."
    before = f"{formats.percent(usual['availability'])}, p95 {formats.duration(usual['latency_p95'])}"
    return f"{text}; a week earlier {before}."


def _unsure(facts: Facts, found: list[Finding]) -> Verdict:
    number = facts.hour["requests"]
    text = f"{formats.exact(number)} {facts.noun.removesuffix('s') if number == 1 else facts.noun} {facts.hour_label}"
    failed = facts.hour["errors"]
    return Verdict("neutral", "Not enough traffic to tell", f"{text}, {formats.exact(failed)} failed.", found)


def _usual_per_hour(facts: Facts) -> float:
    return float(facts.usual["requests_per_minute"] or 0) * 60


def _silent(facts: Facts, found: list[Finding]) -> Verdict:
    gap = formats.span_text(timedelta(minutes=int(facts.silent_minutes or 0)))
    text = (
        f"Nothing has arrived, where {formats.compact(round(_usual_per_hour(facts)))} {facts.noun} an hour are usual. "
        "Either nobody asks, or the clients cannot reach the desk."
    )
    return Verdict("bad", f"No events for {gap}", text, found)
