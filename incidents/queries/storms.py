"""How many notifications a backtest of several rules comes to: spans of one cause that touch are one."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from incidents.models import AlertRule
from incidents.queries.backtests import Backtest
from incidents.rules.grouping import group_key


def notifications(tried: Iterable[tuple[AlertRule, Backtest]]) -> int:
    """Groups that would have opened: of each team and cause, firing spans that overlap belong together."""
    spans: dict[tuple[str, str], list[tuple[datetime, datetime]]] = defaultdict(list)
    for rule, result in tried:
        parent = rule.parent.runbook_section.key if rule.parent else ""
        cause = group_key(rule.runbook_section.key, parent)
        for one in result.sets:
            spans[one.team, cause] += [(span.start, span.end or result.end) for span in one.spans]
    return sum(_apart(found) for found in spans.values())


def _apart(spans: list[tuple[datetime, datetime]]) -> int:
    count, until = 0, None
    for start, end in sorted(spans):
        count += until is None or start > until
        until = end if until is None else max(until, end)
    return count
