"""What the desk told to do when it does not answer, kept by call for the day it does not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Literal

Fail = Literal["open", "closed"]
MOST = 10_000
# What a budget can be set over; `model` and `provider` as asked for, before the guard changed them.
_SCOPE = ("provider", "model", "feature", "tenant", "environment", "user_hash", "cost_center")


class Told:
    """The fail policies of the latest answers, at most MOST of them. Safe between threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Fail] = OrderedDict()
        self._one = Lock()

    def remember(self, call: Mapping[str, Any], fail: str) -> None:
        kept: Fail = "closed" if fail == "closed" else "open"
        with self._one:
            for key in (_exact(call), _feature(call)):
                self._kept[key] = kept
                self._kept.move_to_end(key)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def of(self, call: Mapping[str, Any]) -> Fail:
        """As last told of this call, else of its feature, else open: the desk cannot have told anything."""
        with self._one:
            return self._kept.get(_exact(call)) or self._kept.get(_feature(call)) or "open"


def _exact(call: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(call.get(name) for name in _SCOPE)


def _feature(call: Mapping[str, Any]) -> tuple[Any, ...]:
    return (call.get("feature"),)
