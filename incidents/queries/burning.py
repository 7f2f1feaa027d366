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
        """The lower of both burn rates: the long window says that it matters, the short one that it goes on."""
        if self._known is None:
            slos: dict[int, Slo] = {one.slo.pk: one.slo for one in self._rules if one.slo}
            windows = {seconds for one in self._rules for seconds in _windows(one)}
            self._known = burns(slos.values(), sorted(windows), now)
        if rule.slo is None:
            raise ValueError("A rule of a burn rate needs an objective.")
        long, short = (self._known[rule.slo.pk][seconds] for seconds in _windows(rule))
        known = None if long.burn_rate is None or short.burn_rate is None else min(long.burn_rate, short.burn_rate)
        return [LabelSet(rule.team_id, {}, Reading(known, long.events))]


def _windows(rule: AlertRule) -> tuple[int, int]:
    return int(rule.options["long_seconds"]), int(rule.options["short_seconds"])
