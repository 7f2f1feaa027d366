"""What changed, in one or two sentences."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING

from aiops_site import formats

if TYPE_CHECKING:
    from usage.queries.explain import Explanation
    from usage.rules.onset import Suspect
    from usage.rules.slices import Part

UNTAGGED = "(none)"
STILL = 0.03  # a factor that moved less is unchanged


def finding(explanation: Explanation, zone: tzinfo) -> str:
    """The finding: how much, which values, by what cause, since when and after which change. Times are in `zone`."""
    if explanation.state:
        return _without_change(explanation)
    text = f"{moved(explanation)}{_where(explanation)}{_cause(explanation)}"
    return ". ".join(filter(None, (text, _against(explanation), _when(explanation, zone)))) + "."


def _without_change(explanation: Explanation) -> str:
    metric, whole = explanation.question.metric, explanation.whole
    if explanation.state == "unchanged":
        figures = [formats.figure(value, metric.unit) for value in (whole.now, whole.before)]
        return f"{metric.label} hardly changed: {figures[0]}, {figures[1]} before."
    return {
        "nothing": "Nothing was recorded in either time.",
        "no_before": f"{metric.label} has nothing to be compared with: nothing was recorded before.",
        "no_now": f"{metric.label} ended: nothing was recorded in this time.",
    }[explanation.state]


def moved(explanation: Explanation) -> str:
    """ "Spend rose $4.98 (+23 %)", "Error rate rose from 1.2 % to 14 %"."""
    metric, whole, change = explanation.question.metric, explanation.whole, explanation.change or Decimal(0)
    word, ratio = "rose" if change > 0 else "fell", formats.change(whole.now, whole.before)
    if metric.unit == "%" or ratio is None:
        ends = [formats.figure(value, metric.unit) for value in (whole.before, whole.now)]
        return f"{metric.label} {word} from {ends[0]} to {ends[1]}"
    return f"{metric.label} {word} {formats.figure(abs(change), metric.unit)} ({_signed(ratio)})"


def _signed(ratio: Decimal | float) -> str:
    if ratio > 4:
        return f"×{formats.compact(Decimal(str(ratio)) + 1)}"
    return f"{'+' if ratio > 0 else ''}{formats.percent(ratio)}"


def _where(explanation: Explanation) -> str:
    """ ": 87 % is feature answer-drafting after prompt version v14"."""
    leading = [part for part in explanation.parts if (part.share or 0) > 0]
    if not leading or not explanation.core:
        return ", spread over many values: none stands out"
    much = _much(explanation, explanation.core.share or 0.0)
    news = " and ".join(f"{words(name)} {value}" for name, value in told_as_new(explanation))
    return f": {much} is {listed(leading)}{f' after {news}' if news else ''}"


def _much(explanation: Explanation, share: float) -> str:
    if share > 0.985:
        return "all of it"
    slower = "slower" if (explanation.change or 0) > 0 else "faster"
    of = f" of what got {slower}" if explanation.question.metric.kind == "percentile" else ""
    return f"{formats.percent(round(share, 3))}{of}"


def told_as_new(explanation: Explanation) -> list[tuple[str, str]]:
    """New values worth the sentence: those a suspect names; where no change was recorded, the only one."""
    named = {name for suspect in explanation.suspects for name in suspect.named}
    new = [(novelty.dimension, novelty.value) for novelty in explanation.new]
    alone = new if len(new) == 1 and not explanation.suspects else []
    return [pair for pair in new if pair[0] in named] or alone


def listed(parts: list[Part]) -> str:
    """ "feature answer-box and site-search", "feature chat on model gpt-4o"."""
    names = {part.where[0][0] for part in parts}
    if len(names) == 1 and all(len(part.where) == 1 for part in parts):
        values = [part.where[0][1] or UNTAGGED for part in parts]
        return f"{words(names.pop())} {formats.joined(values)}"
    return formats.joined([name_of(part) for part in parts])


def name_of(part: Part) -> str:
    """ "feature chat on model gpt-4o"; "everything else" for a rest."""
    return " with ".join(f"{words(name)} {value or UNTAGGED}" for name, value in part.where) or "everything else"


def words(dimension: str) -> str:
    return dimension.replace("_", " ")


def _cause(explanation: Explanation) -> str:
    """ " – tokens per call ×2.1, calls unchanged": the largest effect, and how many there were."""
    part = explanation.core or explanation.whole
    said = [_factor(explanation, part, name) for name in _telling(part)]
    return f" – {', '.join(filter(None, said))}" if said and said[0] else ""


def _telling(part: Part) -> list[str]:
    largest = max(part.effects, key=lambda name: abs(part.effects[name]), default="")
    return list(dict.fromkeys(name for name in (largest, "volume") if name in part.effects))


def _factor(explanation: Explanation, part: Part, name: str) -> str:
    label = explanation.question.metric.effects[name]
    if name == "price":
        return f"{label} {amount(part.effects[name], 'USD')}"
    factor = part.factors.get({"volume": "base", "tokens": "tokens", "rate": "value"}.get(name, ""))
    return "" if factor is None else f"{label} {times(factor)}"


def times(factor: float) -> str:
    """×2.1, +12 %, −8 %, unchanged."""
    if abs(factor - 1) < STILL:
        return "unchanged"
    if factor >= 2 or factor <= 0.5:
        return f"×{formats.compact(float(f'{factor:.2g}'))}"
    return _signed(round(factor - 1, 3))


def amount(value: Decimal, unit: str) -> str:
    """An amount with its sign."""
    return f"{'+' if value > 0 else ''}{formats.figure(value, unit) if unit != 'ms' else _ms(value)}"


def _ms(value: Decimal) -> str:
    return f"{formats.MINUS if value < 0 else ''}{formats.duration(abs(value))}"


def _against(explanation: Explanation) -> str:
    against = [part for part in explanation.parts if (part.share or 0) < 0]
    if not against or explanation.question.metric.kind == "percentile":
        return ""
    return f"Against it, {name_of(against[0])} {amount(against[0].contribution, explanation.question.metric.unit)}"


def _when(explanation: Explanation, zone: tzinfo) -> str:
    """ "It began 12 Nov 07:00, 14 min after the change “…”"."""
    began = explanation.onset
    first = explanation.suspects[0] if explanation.suspects else None
    if not began:
        return ""
    text = f"It began {_clock(began.at, zone)}"
    if not first or not first.strong:
        return text
    return f"{text}, {lead(first, explanation.step)} the change “{first.change.title}”"


def _clock(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%-d %b %H:%M}"


def lead(suspect: Suspect, step: timedelta) -> str:
    """ "14 min after", "2 h before": where the onset lies from the change; "right at" within its own step."""
    if -step < suspect.lead < timedelta(minutes=1):
        return "right at"
    minutes = timedelta(minutes=round(abs(suspect.lead) / timedelta(minutes=1)))
    return f"{formats.span_text(minutes)} {'after' if suspect.lead > timedelta() else 'before'}"
