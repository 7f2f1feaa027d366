"""The statements of the roll-ups.

A recompute or fold is: SELECT the sums of the tier below, compact each row's packed columns here, COPY the rows into a
temporary table, and put that into the tier. The team and the bounds are constants, so partitions are pruned.
"""

from dataclasses import dataclass
from typing import Literal

from usage.measures import MEASURE_NAMES, MEASURES, PACKED, PACKED_NAMES

Family = Literal["", "tenant_"]
_BOUNDS = "team_id = %(team)s AND bucket >= %(start)s AND bucket < %(end)s"
FAMILIES: tuple[Family, ...] = ("", "tenant_")


@dataclass(frozen=True)
class Rollup:
    """Sums of `source` (usage_event or a finer roll-up) by buckets of `unit` for the table `target`.

    Two families: '' has a row per series, 'tenant_' a row per narrow series and tenant (of events that name one).
    """

    source: str
    target: str
    unit: str
    family: Family

    @property
    def from_events(self) -> bool:
        return self.source == "usage_event"

    @property
    def keys(self) -> list[str]:
        return ["team_id", "bucket", "series_id", *(["tenant"] if self.family else [])]

    @property
    def columns(self) -> str:
        """Columns of the target: keys and measures, then the packed ones."""
        return ", ".join([*self.keys, *MEASURE_NAMES, *PACKED_NAMES])

    def select(self, extra: str = "") -> str:
        """SELECT … GROUP BY with the parameters team, start, end and those of the condition `extra`.

        A packed column comes as int[] of its values from events, as bytes from a roll-up.
        """
        time = "occurred_at" if self.from_events else "bucket"
        narrow = self.from_events and self.family
        keys = [
            "e.team_id",
            f"date_trunc('{self.unit}', e.{time}, 'UTC')",
            "s.narrow_id" if narrow else "e.series_id",
            *(["e.tenant"] if self.family else []),
        ]
        sums = [measure.event_sql if self.from_events else f"sum(e.{measure.name})" for measure in MEASURES]
        join = " JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id" if narrow else ""
        named = " AND e.tenant IS NOT NULL" if narrow else ""
        return (
            f"SELECT {', '.join([*keys, *sums, *self._packed()])} FROM {self.source} e{join}"
            f" WHERE e.team_id = %(team)s AND e.{time} >= %(start)s AND e.{time} < %(end)s{named}{extra}"
            f" GROUP BY {', '.join(str(position + 1) for position in range(len(keys)))}"
        )

    def _packed(self) -> list[str]:
        if self.from_events:
            return [packed.array_sql for packed in PACKED]
        return [f"string_agg(e.{column}, '')" for column in PACKED_NAMES]

    def existing(self) -> str:
        return f"SELECT FROM {self.target} WHERE {_BOUNDS}"

    def delete(self) -> str:
        return f"DELETE FROM {self.target} WHERE {_BOUNDS}"

    def insert(self) -> str:
        """Put the temporary table into the target, adding to rows that are there."""
        sums = ", ".join(
            f"{name} = CASE WHEN t.{name} IS NULL THEN excluded.{name} ELSE t.{name} + coalesce(excluded.{name}, 0) END"
            for name in MEASURE_NAMES
        )
        packed = ", ".join(
            f"{name} = CASE WHEN t.{name} IS NULL THEN excluded.{name}"
            f" ELSE t.{name} || coalesce(excluded.{name}, '') END"
            for name in PACKED_NAMES
        )
        return (
            f"INSERT INTO {self.target} AS t ({self.columns}) SELECT {self.columns} FROM rollup_rows ORDER BY 1, 2, 3"
            f" ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {sums}, {packed}"
        )


def _rollups(source: str, target: str) -> tuple[Rollup, ...]:
    return tuple(
        Rollup(
            source="usage_event" if source == "event" else f"usage_{family}{source}",
            target=f"usage_{family}{target}",
            unit=target,
            family=family,
        )
        for family in FAMILIES
    )


MINUTE_FROM_EVENTS = _rollups("event", "minute")
HOUR_FROM_EVENTS = _rollups("event", "hour")
HOUR_FROM_MINUTES = _rollups("minute", "hour")
DAY_FROM_HOURS = _rollups("hour", "day")

# Fold: only the events whose batch had its mark of that very minute claimed.
OF_CLAIMED = """ AND (date_trunc('minute', e.occurred_at, 'UTC'), e.batch_id) IN
    (SELECT * FROM unnest(%(minutes)s::timestamptz[], %(batches)s::bigint[]))"""
# Recompute: everything except batches whose mark of that minute still stands, for they will be folded later. One
# statement, one snapshot: a batch is seen with its mark or not at all.
EXCEPT_PENDING = """ AND NOT EXISTS (SELECT FROM usage_rollup_mark m WHERE m.tier = 0 AND m.team_id = %(team)s
    AND m.bucket = date_trunc('minute', e.occurred_at, 'UTC') AND m.batch_id = e.batch_id)"""
