"""How long answers usually are, for calls that do not say how long theirs may be."""

from datetime import datetime
from time import monotonic
from typing import NamedTuple

from django.db import connection, transaction

from budgets.models import OutputStatistic
from usage.measures import MODEL_OPERATIONS

# Where nothing is known of a team's calls: long for a chat answer, and far from a model's worst case.
DEFAULT_OUTPUT_TOKENS = 1_000
# Below this a percentile says nothing.
FEWEST_CALLS = 20
REMEMBERED_SECONDS = 60.0
RECENT = "7 days"
# Events read to measure: all of them up to here, a sample of the pages beyond.
MOST_EVENTS = 500_000


class Expected(NamedTuple):
    """Output tokens and where they are from: history or default."""

    tokens: int
    source: str


_Lengths = dict[tuple[str, str], int]
_remembered: dict[int, tuple[float, _Lengths]] = {}


def expected_output(team_id: int, feature: str, model: str) -> Expected:
    """The recent p95 of the team's feature and model, else of the model, else of the team, else the default."""
    lengths = _lengths(team_id)
    for key in ((feature, model), ("", model), ("", "")):
        if (tokens := lengths.get(key)) is not None:
            return Expected(tokens, "history")
    return Expected(DEFAULT_OUTPUT_TOKENS, "default")


def _lengths(team_id: int) -> _Lengths:
    """Remembered for a minute: they change slowly, and an estimate need not be of this second."""
    known = _remembered.get(team_id)
    if known is None or monotonic() - known[0] > REMEMBERED_SECONDS:
        rows = OutputStatistic.objects.filter(team=team_id).values_list("feature", "model", "p95")
        known = _remembered[team_id] = monotonic(), {(feature, model): p95 for feature, model, p95 in rows}
    return known[1]


def forget() -> None:
    """Read again at the next call."""
    _remembered.clear()


# GROUPING SETS give the p95 of each feature and model, of each model, and of the team, in one pass.
_MEASURE = """
INSERT INTO budgets_outputstatistic (team_id, feature, model, p95, calls, measured_at)
SELECT e.team_id, coalesce(s.feature, ''), coalesce(s.model, ''),
    percentile_disc(0.95) WITHIN GROUP (ORDER BY e.output_tokens), count(*), %(now)s
FROM usage_event AS e TABLESAMPLE SYSTEM (%(percent)s)
JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id
WHERE e.occurred_at > %(now)s - %(recent)s::interval AND e.occurred_at <= %(now)s AND e.output_tokens > 0
    AND s.operation = ANY (%(operations)s) AND s.status = 'success'
GROUP BY GROUPING SETS ((e.team_id, s.feature, s.model), (e.team_id, s.model), (e.team_id))
HAVING count(*) >= %(fewest)s AND (grouping(s.feature) = 1 OR s.feature <> '')
ON CONFLICT (team_id, feature, model) DO UPDATE
SET p95 = excluded.p95, calls = excluded.calls, measured_at = excluded.measured_at
"""
_FORGET = "DELETE FROM budgets_outputstatistic WHERE measured_at < %(now)s - %(recent)s::interval"
_SIZE = """
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'usage_event'::regclass
"""


def measure(now: datetime) -> int:
    """Bring the statistics up to date from the events of the last week, by success only; returns how many there are.

    Large stores are sampled, so the work is bounded; what is too rare for the sample keeps its older figure for a week.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        percent = min(100.0, 100.0 * MOST_EVENTS / max(cursor.fetchone()[0], 1))
        values = {"now": now, "percent": percent, "recent": RECENT, "fewest": FEWEST_CALLS}
        with transaction.atomic():
            cursor.execute(_MEASURE, values | {"operations": list(MODEL_OPERATIONS)})
            measured = cursor.rowcount
            cursor.execute(_FORGET, values)
    return measured
