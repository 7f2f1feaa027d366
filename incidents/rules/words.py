"""An alert in words: what was measured, against what, since when."""

from collections.abc import Mapping
from decimal import Decimal

from aiops_site.formats import counted, duration, exact, long_duration, money, percent, plain, significant
from incidents.rules.alert_rules import Reading

# Kinds whose figure is no metric of the catalogue.
TIMES, SECONDS = "times", "s"


def figure(value: Decimal | None, unit: str) -> str:
    """A value with its unit: 12.3 %, 4.2 s, $3.10, 2.4 × (of a ratio to something)."""
    if value is None:
        return "unknown"
    if unit == TIMES:
        return f"{plain(significant(value, 3))} ×"
    if unit == SECONDS:
        return duration(value * 1000)
    if unit == "ms":
        return duration(value)
    if unit == "USD":
        return money(value)
    if unit == "ratio":
        return percent(value).replace(".0 %", " %")
    return counted(int(value), "tokens") if unit == "tokens" else exact(significant(value, 4))


def labelled(labels: Mapping[str, str]) -> str:
    """The values of a label set, e.g. "prod, openai"; "" without any."""
    return ", ".join(value or f"no {name}" for name, value in labels.items())


def title(name: str, reading: Reading, unit: str, labels: Mapping[str, str]) -> str:
    """E.g. "Error rate high: 12.3 % (prod)"."""
    where = f" ({text})" if (text := labelled(labels)) else ""
    known = f": {figure(reading.value, unit)}" if reading.value is not None else ""
    return f"{name}{known}{where}"[:200]


def condition(measured: str, above: bool, threshold: Decimal, unit: str, window_seconds: int, for_seconds: int) -> str:
    """A rule in one sentence, e.g. "Error rate above 5 % over 5 min, for 2 min"."""
    held = f", for {long_duration(for_seconds)}" if for_seconds >= 60 else ""
    window = f" over {long_duration(window_seconds)}" if window_seconds else ""
    return f"{measured} {'above' if above else 'below'} {figure(threshold, unit)}{window}{held}"


def detail(sentence: str, reading: Reading, unit: str, reference_unit: str, sample: str) -> str:
    """What was measured when the alert began, beside the rule's condition."""
    parts = [f"{sentence}. Measured: {figure(reading.value, unit)}"]
    if reading.reference is not None:
        parts.append(f"usual at this hour: {figure(reading.reference, reference_unit)}")
    if reading.events is not None:
        parts.append(f"{exact(reading.events)} {sample}")
    return "; ".join(parts) + "."
