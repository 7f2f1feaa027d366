"""How often a rule would have fired: its own steps over what is stored of the last weeks, for every kind of rule."""

from collections.abc import Callable, Iterable
from datetime import datetime

from incidents.models import AlertRule
from incidents.queries.backtests.burn import try_burn_rate
from incidents.queries.backtests.canary import try_canary
from incidents.queries.backtests.metrics import TESTED, try_metric
from incidents.queries.backtests.raised import try_desk, try_source
from incidents.queries.backtests.replay import DAYS, Backtest, Drawn, Span, Tried

__all__ = ["DAYS", "TESTED", "Backtest", "Drawn", "Span", "Tried", "backtest"]

_KINDS: dict[str, Callable[[AlertRule, list[int], datetime, int], Backtest]] = {
    AlertRule.Kind.BURN_RATE: try_burn_rate,
    AlertRule.Kind.CANARY: try_canary,
    AlertRule.Kind.ANOMALY: try_source,
    AlertRule.Kind.BUDGET: try_source,
    AlertRule.Kind.DESK: try_desk,
}


def backtest(rule: AlertRule, team_ids: Iterable[int], now: datetime, days: int = DAYS) -> Backtest:
    """What `rule` (saved or not) would have done. `team_ids`: teams that may be looked at.

    Windows under an hour are judged as far back as minutes are kept, in steps of five minutes (one, under five);
    longer ones hour by hour. Raises QueryError for a metric, filter or breakdown that does not go together.
    """
    allowed = sorted(set(team_ids) & {rule.team_id} if rule.team_id else set(team_ids))
    return _KINDS.get(rule.kind, try_metric)(rule, allowed, now, days)
