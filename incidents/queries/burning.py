"""What rules of kind burn_rate measure: how fast an SLO's error budget burns in a long and a short window."""

from datetime import datetime

from incidents.models import AlertRule, Slo
from incidents.queries.readings import LabelSet
from incidents.queries.slos import burns
from incidents.rules.alert_rules import Reading
from incidents.rules.slos import Burn


class BurnRates:
    """Burn rates of the SLOs of some rules, read when the first of them asks and for all of them at once."""

    def __init__(self, rules: list[AlertRule]) -> None:
        self._rules = rules
        self._known: dict[int, dict[int, Burn]] | None = None

    def label_sets(self, rule: AlertRule, now: datetime) -> list[LabelSet]:
        """How fast both windows of the rule burn, as one label set."""
        if self._known is None:
            slos: dict[int, Slo] = {one.slo.pk: one.slo for one in self._rules if one.slo}
            windows = {seconds for one in self._rules for seconds in windows_of(one)}
            self._known = burns(slos.values(), sorted(windows), now)
        if rule.slo is None:
            raise ValueError("A rule of a burn rate needs an objective.")
        long, short = (self._known[rule.slo.pk][seconds] for seconds in windows_of(rule))
        return [LabelSet(rule.team_id, {}, reading_of(long, short))]


def reading_of(long: Burn, short: Burn) -> Reading:
    """The lower of both burn rates: the long window says that it matters, the short one that it goes on."""
    known = None if long.burn_rate is None or short.burn_rate is None else min(long.burn_rate, short.burn_rate)
    return Reading(known, long.events)


def windows_of(rule: AlertRule) -> tuple[int, int]:
    """Seconds of the long and of the short window."""
    return int(rule.options["long_seconds"]), int(rule.options["short_seconds"])
