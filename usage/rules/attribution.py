"""Which feature and cost centre the rules of attribution give to a series. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

NONE = "(none)"


@dataclass(frozen=True)
class Assignment:
    """A rule as the arithmetic needs it: patterns as in AttributionRule; `api_key` None means any."""

    feature: str = ""
    service: str = ""
    model: str = ""
    environment: str = ""
    api_key: int | None = None
    only_untagged: bool = True
    set_feature: str = ""
    set_cost_center: str = ""

    def fits(self, sent: Mapping[str, str], api_key: int | None) -> bool:
        """Whether a series with the dimensions it was sent with meets every condition."""
        if self.api_key is not None and self.api_key != api_key:
            return False
        names = ("feature", "service", "model", "environment")
        return all(meets(getattr(self, name), sent[name]) for name in names)


def meets(pattern: str, value: str) -> bool:
    """An empty pattern is met by anything, "(none)" by no value; "*" stands for any text, also for none."""
    if not pattern:
        return True
    return not value if pattern == NONE else bool(value and _compiled(pattern).fullmatch(value))


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL | re.IGNORECASE)


def assigned(rules: Iterable[Assignment], sent: Mapping[str, str], api_key: int | None) -> tuple[str, str]:
    """(feature, cost centre) of a series: of each field the first rule that fits and sets it, else as it was sent."""
    found = {"feature": "", "cost_center": ""}
    for rule in rules:
        if not rule.fits(sent, api_key):
            continue
        for name, value in (("feature", rule.set_feature), ("cost_center", rule.set_cost_center)):
            if value and not found[name] and not (rule.only_untagged and sent[name]):
                found[name] = value
    return found["feature"] or sent["feature"], found["cost_center"] or sent["cost_center"]
