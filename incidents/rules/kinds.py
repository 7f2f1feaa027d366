"""What counts for each kind of alert rule: its fields and options, and what it is for in a sentence. Pure."""

from dataclasses import dataclass

# Of every kind.
ALWAYS = ("severity", "route", "first_mitigation", "is_active")
COMMON_OPTIONS = ("declare", "declare_after_change", "instead_of", "budget_share", "rested")
_SLICE = ("metric", "filters", "breakdown")
_HOLDS = ("for_seconds", "clear_seconds")
_COMPARED = ("comparison", "threshold", "clear_threshold", "window_seconds", *_HOLDS, "min_events")


@dataclass(frozen=True)
class Kind:
    """`about`: when it fires; `fields` of the model and `options` that count beside those of every kind."""

    about: str
    fields: tuple[str, ...]
    options: tuple[str, ...] = ()


KINDS = {
    "threshold": Kind(
        "A metric is above or below a value over a window.",
        (*_SLICE, *_COMPARED, "baseline_weeks"),
        ("sure", "times_usual", "no_data"),
    ),
    "baseline": Kind(
        "A metric is so many times what is usual at this hour: the median of the same hours of earlier weeks.",
        (*_SLICE, *_COMPARED, "baseline_weeks"),
        ("floor", "sure", "no_data"),
    ),
    "no_data": Kind(
        "Nothing arrives where the same hours of earlier weeks had requests.",
        ("filters", "breakdown", "window_seconds", *_HOLDS, "min_events", "baseline_weeks"),
    ),
    "burn_rate": Kind(
        "The error budget of an objective burns too fast in a long and in a short window.",
        ("slo_id", "window_seconds", "threshold", *_HOLDS, "min_events"),
        ("long_seconds", "short_seconds"),
    ),
    "canary": Kind(
        "A synthetic check fails several times in a row.",
        ("threshold", *_HOLDS),
        ("check",),
    ),
    "anomaly": Kind(
        "The detector finds spend or use away from what it expects. The rule says how loud that is and what to do.",
        ("metric", "filters"),
        ("source", "when"),
    ),
    "budget": Kind(
        "A budget passes one of its thresholds, or its forecast is over it. The rule says how loud that is.",
        (),
        ("source", "when", "budget"),
    ),
    "desk": Kind(
        "The desk itself is late, stuck or blind.",
        ("metric", "threshold", "clear_threshold", *_HOLDS),
    ),
}


def counts(kind: str, name: str) -> bool:
    """Whether a field or option means anything for the kind; those that no kind names always do."""
    if any(name in (*one.fields, *one.options) for one in KINDS.values()):
        return name in (*KINDS[kind].fields, *KINDS[kind].options)
    return True
