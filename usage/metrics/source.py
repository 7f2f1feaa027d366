"""The FROM of a metric query: the rows of its window, teams and filters, by its groups."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from usage.measures import DRILL_ENVIRONMENT, PACKED_NAMES
from usage.metrics.asked import MetricQuery
from usage.metrics.parts import FLAGS
from usage.metrics.window import CALENDAR_STEPS, FIXED_STEPS, Segment, buckets

NO_TENANT = "''"


class Source:
    """The FROM … WHERE … GROUP BY of a query, with its parameters."""

    def __init__(self, q: MetricQuery, parts: list[Segment], start: datetime, end: datetime) -> None:
        self.q = q
        self.parts = parts
        # Calendar steps are told to the database as bounds: its own zone tables may be of another year than ours.
        self.bounds = list(buckets(start, end, q.step, q.zone)) if q.step in CALENDAR_STEPS else []
        self.parameters: dict[str, Any] = {"teams": list(q.team_ids or ()), "bounds": self.bounds}

    @property
    def untagged(self) -> bool:
        """Whether events without a tenant are asked for: all events less those that name one, under the tenant ''.

        The rows then have a `sign`: 0 of a tenant, 1 of all events, -1 of those with any tenant, their sums negated.
        """
        return "" in self.q.filters.get("tenant", ())

    def sql(self, columns: list[str], select: str, extra: tuple[str, ...] = (), join: str = "") -> str:
        """The statement that reads `select` of the roll-up `columns` (alias r) by group, and by `extra` within it.

        `join` is put behind the series (alias s).
        """
        if self.untagged:
            columns = list(dict.fromkeys(["events", *columns]))
        in_steps = self.q.step or self.untagged or extra
        # Of packed columns, a row for each series would be sorted and merged twice.
        by_series = not in_steps and not set(columns) & set(PACKED_NAMES)
        rows = self._by_series(columns) if by_series else self._tiers(columns)
        keys = [*self._keys(), *extra]
        grouping = f" GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}" if keys else ""
        # A group all of whose events name a tenant has none without one.
        grouping += " HAVING sum(r.events) > 0" if self.untagged and keys and not extra else ""
        return (
            f"SELECT {', '.join([*keys, select])} FROM ({rows}) r"
            f" LEFT JOIN {self._series()} s ON s.team_id = r.team_id AND s.id = r.series_id"
            f"{join}{self._team_join()}{self._where()}{grouping}"
        )

    def split(self, record: tuple) -> tuple[tuple[tuple[str, ...], datetime | None], tuple]:
        """A fetched record as ((group key, bucket), the rest)."""
        at, rest = (self._start_of(record[0]), record[1:]) if self.q.step else (None, record)
        width = len(self.q.group_by)
        return (tuple(rest[:width]), at), rest[width:]

    def _start_of(self, bucket: datetime | int) -> datetime:
        return self.bounds[bucket - 1] if isinstance(bucket, int) else bucket.astimezone(UTC)

    def _tiers(self, columns: list[str]) -> str:
        """The rows of every part of the window."""
        tiers = dict.fromkeys(part.tier for part in self.parts)
        return " UNION ALL ".join(self._tier(tier, columns) for tier in tiers)

    def _by_series(self, columns: list[str]) -> str:
        """The same in one row for each series: the conditions of the sums are then not looked at for every bucket."""
        keys = ["team_id", "series_id", *(["tenant"] if self.q.by_tenant else [])]
        sums = [f"sum({name}) AS {name}" for name in columns]
        return f"SELECT {', '.join([*keys, *sums])} FROM ({self._tiers(columns)}) r GROUP BY {', '.join(keys)}"

    def _tier(self, tier: str, columns: list[str]) -> str:
        ranges = []
        for number, part in enumerate(self.parts):
            if part.tier == tier:
                self.parameters |= {f"start{number}": part.start, f"end{number}": part.end}
                ranges.append(f"(bucket >= %(start{number})s AND bucket < %(end{number})s)")
        teams = "" if self.q.team_ids is None else " AND team_id = ANY(%(teams)s)"
        where = f"WHERE ({' OR '.join(ranges)}){teams}"
        keys = "team_id, series_id, bucket"
        if not self.q.by_tenant:
            return f"SELECT {', '.join([keys, *columns])} FROM usage_{tier} {where}"
        named = f"FROM usage_tenant_{tier} {where}"
        if not self.untagged:
            return f"SELECT {', '.join([keys, 'tenant', *columns])} {named}"
        negative = [name if name in PACKED_NAMES else f"-{name}" for name in columns]
        return (
            f"SELECT {', '.join([keys, '0 AS sign', 'tenant', *columns])} {named}"
            f" UNION ALL SELECT {', '.join([keys, '1', NO_TENANT, *columns])} FROM usage_{tier} {where}"
            f" UNION ALL SELECT {', '.join([keys, '-1', NO_TENANT, *negative])} {named}"
        )

    def _keys(self) -> list[str]:
        return [*([self._bucket()] if self.q.step else []), *(self._column(name) for name in self.q.group_by)]

    def _bucket(self) -> str:
        step = self.q.step
        if step in FIXED_STEPS:
            seconds = int(FIXED_STEPS[step].total_seconds())
            return f"date_bin('{seconds} seconds', r.bucket, timestamptz '2001-01-01 00:00+00')"
        return "width_bucket(r.bucket, %(bounds)s::timestamptz[])"

    def _column(self, name: str) -> str:
        return {"team": "t.slug", "tenant": "r.tenant"}.get(name, f"s.{name}")

    def _team_join(self) -> str:
        named = "team" in self.q.group_by or "team" in self.q.filters
        return " LEFT JOIN accounts_team t ON t.id = r.team_id" if named else ""

    def _series(self) -> str:
        """The series that pass the filters, with their FLAGS. OFFSET keeps those from being worked out by row."""
        conditions = self._conditions(lambda name: name not in ("team", "tenant")) + self._exclusions()
        flags = ", ".join(f"{condition} AS {name}" for name, condition in FLAGS.items())
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"(SELECT s.*, {flags} FROM usage_series s{where} OFFSET 0)"

    def _where(self) -> str:
        # An outer join, and a condition that the planner does not see through: else it may put the series first and
        # read the roll-ups once for each of them. With stale statistics it did, at a hundred times the cost.
        conditions = [*self._conditions(lambda name: name in ("team", "tenant")), "(s.id IS NULL) IS FALSE"]
        return f" WHERE {' AND '.join(conditions)}"

    def _conditions(self, wanted: Callable[[str], bool]) -> list[str]:
        chosen = {name: list(values) for name, values in self.q.filters.items() if wanted(name)}
        self.parameters |= {f"filter_{name}": values for name, values in chosen.items()}
        return [f"{self._column(name)} = ANY(%(filter_{name})s)" for name in chosen]

    def _exclusions(self) -> list[str]:
        """What the query leaves out, and telemetry of drills: only who asks for its environment reads that."""
        excluded = {name: list(values) for name, values in self.q.excluded.items()}
        if "environment" not in self.q.filters:
            excluded["environment"] = [*excluded.get("environment", ()), DRILL_ENVIRONMENT]
        self.parameters |= {f"excluded_{name}": values for name, values in excluded.items()}
        return [f"{self._column(name)} <> ALL(%(excluded_{name})s)" for name in excluded]
