"""What the controls in force say about a call: mode, what is off, which provider first. Pure: no ORM, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from incidents.rules.failover import target

MODES = ("normal", "conserve", "emergency", "blocked")
EVERY = "*"


@dataclass(frozen=True)
class Policy:
    """What a mode means for a feature; None and empty change nothing. As incidents.models.ModePolicy."""

    max_output_tokens: int | None = None
    max_context_tokens: int | None = None
    top_k: int | None = None
    model_map: Mapping[str, str] = field(default_factory=dict)
    tools_off: tuple[str, ...] = ()

    def model_for(self, model: str) -> str:
        return self.model_map.get(model) or self.model_map.get(EVERY) or model


NO_POLICY = Policy()


@dataclass(frozen=True)
class Stance:
    """The controls over one call, taken together.

    `denied`: the control that stops it, whatever the provider; `tools_off` without those of the mode's policy;
    `targets`: (provider, model; '' for the one asked for) in the order of a failover, none without one;
    `throttles`: controls that slow its queue class.
    """

    mode: str = "normal"
    denied: Any = None
    tools_off: frozenset[str] = frozenset()
    targets: tuple[tuple[str, str], ...] = ()
    throttles: tuple[Any, ...] = ()


def stance_of(controls: Iterable[Any], queue_class: str) -> Stance:
    """Of the controls in force that cover the call: the strictest mode, every switch, the latest failover."""
    mode, denied, tools, throttles = MODES[0], None, set(), []
    targets: tuple[tuple[str, str], ...] = ()
    for control in sorted(controls, key=lambda one: one.pk):
        if control.kind == "mode":
            mode = max(mode, control.mode, key=MODES.index)
            denied = control if control.mode == "blocked" else denied
        elif control.kind == "kill_switch" and control.tool_name:
            tools.add(control.tool_name)
        elif control.kind == "kill_switch" or (control.kind == "breaker" and not control.provider):
            denied = control
        elif control.kind == "failover":
            targets = tuple(target(one) for one in control.failover_order)
        elif control.kind == "throttle" and control.queue_class == queue_class:
            throttles.append(control)
    return Stance(mode, denied, frozenset(tools), targets, tuple(throttles))


def is_stopped(controls: Iterable[Any]) -> bool:
    """Whether an alternative that these controls cover may not be used."""
    return any(
        control.kind == "breaker"
        or (control.kind == "kill_switch" and not control.tool_name)
        or (control.kind == "mode" and control.mode == "blocked")
        for control in controls
    )


def tools_to_drop(off: Iterable[str], asked: Iterable[str]) -> list[str]:
    """Of the tools a call names, those that are off; all that are off, where it names none ("*" is every tool)."""
    dropped, named = set(off), set(asked)
    if EVERY in dropped:
        return sorted(named) or [EVERY]
    return sorted(dropped & named if named else dropped)


def stricter_modes(mode: str) -> tuple[str, ...]:
    """The modes between this one and blocked, mildest first."""
    return MODES[MODES.index(mode) + 1 : -1]
