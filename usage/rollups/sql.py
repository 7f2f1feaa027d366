"""The recompute statements: one DELETE and one INSERT … SELECT per target table and run of buckets.

Bounds are passed as values, so the planner prunes partitions; the team is always fixed, so the keys lead with it.
"""

from dataclasses import dataclass

from usage.measures import HISTOGRAMS, MEASURE_NAMES, MEASURES, bucket_sql, histogram_columns

HISTOGRAM_COLUMNS = tuple(column for name in HISTOGRAMS for column in histogram_columns(name))


@dataclass(frozen=True)
class Statements:
    """SQL taking the named parameters team, start and end (exclusive); every bucket between them is recomputed."""

    delete: str
    insert: str


def _event_histogram() -> str:
    values = ", ".join(
        f"({kind}, {bucket_sql(f'e.{column}')}, e.{column})" for kind, column in enumerate(HISTOGRAMS.values())
    )
    return f"CROSS JOIN LATERAL (VALUES {values}) v(kind, i, present)"


def _rollup_histogram() -> str:
    parts = " UNION ALL ".join(
        "SELECT {}, u.i, u.n FROM unnest(e.{}, e.{}) u(i, n)".format(kind, *histogram_columns(name))
        for kind, name in enumerate(HISTOGRAMS)
    )
    return f"CROSS JOIN LATERAL ({parts}) v(kind, i, n)"


def statements(*, source: str, target: str, unit: str, tenant: bool) -> Statements:
    """Recompute `target` (buckets of `unit`: minute, hour or day) from `source` (usage_event or a finer roll-up).

    `tenant` picks the tenant roll-ups: from events these are the rows that name a tenant, on their narrow series.
    """
    raw = source == "usage_event"
    time = "occurred_at" if raw else "bucket"
    bucket = f"date_trunc('{unit}', e.{time}, 'UTC')"
    series = "s.narrow_id" if raw and tenant else "e.series_id"
    keys = f"{bucket} AS bucket, {series} AS series_id" + (", e.tenant" if tenant else "")
    names = ["bucket", "series_id", *(["tenant"] if tenant else [])]
    join = " JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id" if raw and tenant else ""
    where = f"e.team_id = %(team)s AND e.{time} >= %(start)s AND e.{time} < %(end)s"
    where += " AND e.tenant IS NOT NULL" if raw and tenant else ""
    aggregates = ", ".join(f"{m.event_sql if raw else f'sum(e.{m.name})'} AS {m.name}" for m in MEASURES)
    histogram, number, present = (
        (_event_histogram(), "count(*)", " AND v.present IS NOT NULL") if raw else (_rollup_histogram(), "sum(v.n)", "")
    )
    arrays = ", ".join(
        f"array_agg(i ORDER BY i) FILTER (WHERE kind = {kind}) AS {columns[0]},"
        f" array_agg(n ORDER BY i) FILTER (WHERE kind = {kind}) AS {columns[1]}"
        for kind, columns in enumerate(histogram_columns(name) for name in HISTOGRAMS)
    )
    group = ", ".join(str(position) for position in range(1, len(names) + 1))
    insert = f"""
        INSERT INTO {target} (team_id, {", ".join([*names, *MEASURE_NAMES, *HISTOGRAM_COLUMNS])})
        SELECT %(team)s, {", ".join(f"a.{name}" for name in [*names, *MEASURE_NAMES])},
            {", ".join(f"h.{column}" for column in HISTOGRAM_COLUMNS)}
        FROM (SELECT {keys}, {aggregates} FROM {source} e{join} WHERE {where} GROUP BY {group}) a
        LEFT JOIN (
            SELECT {", ".join(names)}, {arrays} FROM (
                SELECT {keys}, v.kind, v.i, {number} AS n
                FROM {source} e{join} {histogram} WHERE {where}{present} GROUP BY {group}, v.kind, v.i
            ) counted GROUP BY {group}
        ) h USING ({", ".join(names)})
    """
    delete = f"DELETE FROM {target} WHERE team_id = %(team)s AND bucket >= %(start)s AND bucket < %(end)s"
    return Statements(delete, insert)


def both(*, source: str, target: str, unit: str) -> tuple[Statements, Statements]:
    """The statements for a tier and for its tenant twin; `source` and `target` are tier names or 'event'."""
    return tuple(
        statements(
            source="usage_event" if source == "event" else f"usage_{prefix}{source}",
            target=f"usage_{prefix}{target}",
            unit=unit,
            tenant=bool(prefix),
        )
        for prefix in ("", "tenant_")
    )


MINUTE_FROM_EVENTS = both(source="event", target="minute", unit="minute")
HOUR_FROM_EVENTS = both(source="event", target="hour", unit="hour")
HOUR_FROM_MINUTES = both(source="minute", target="hour", unit="hour")
DAY_FROM_HOURS = both(source="hour", target="day", unit="day")
