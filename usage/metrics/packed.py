"""Reading what the roll-ups keep packed: quantiles of histograms, and counts of distinct ids from sketches."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from django.db import connection

from usage.histogram import quantile, sizes
from usage.metrics.metric import Distinct, Percentile, Sum
from usage.metrics.source import Source
from usage.sketch import compact, count, count_only

# Sketches of a group are compacted whenever so many bytes of them have come.
ENOUGH = 1_000_000
SIGNS = (0, 1, -1)  # usage.metrics.source.Source.untagged
DAY = "date_trunc('day', r.bucket, 'UTC')"


def read_percentiles(source: Source, wanted: dict[str, Percentile], sums: list[Sum], groups: dict) -> None:
    """Put the quantile of every metric of `wanted` into its group, and `sums` of the same rows, by the Sum itself.

    Histograms are merged in SQL. One statement for both: most of its cost is finding the rows.
    """
    parts = list(dict.fromkeys((f"{value.histogram}_histogram", value.where) for value in wanted.values()))
    for record in _records(source, parts, sums=sums):
        key, values = source.split(record)
        group = groups[key]
        group |= zip(sums, values, strict=False)
        sides = _sides(source, parts, values[len(sums) :])
        for name, value in wanted.items():
            named, everything, tagged = sides[f"{value.histogram}_histogram", value.where]
            group[name] = quantile((named or b"") + (everything or b""), value.quantile, tagged)


def read_histograms(source: Source, value: Percentile) -> dict[tuple[tuple[str, ...], datetime | None], np.ndarray]:
    """(group, bucket of the step) → values per bucket of the merged histograms; none where nothing was counted."""
    part = (f"{value.histogram}_histogram", value.where)
    found = {}
    for record in _records(source, [part]):
        key, values = source.split(record)
        named, everything, tagged = (sizes(side or b"") for side in _sides(source, [part], values)[part])
        if (left := named + everything - tagged).any():
            found[key] = left
    return found


def read_distinct(source: Source, wanted: list[Distinct], groups: dict) -> None:
    """Put how many distinct ids there are into every group, by the Distinct itself.

    SQL merges the sketches of a day only: those of a long window could be more bytes than one value may have.
    """
    parts = [(f"{value.sketch}_sketch", value.where) for value in wanted]
    found: dict[Any, dict[Any, list[bytes]]] = defaultdict(lambda: {part: [b""] * len(SIGNS) for part in parts})
    for record in _records(source, parts, extra=(DAY,)):
        key, (_, *values) = source.split(record)
        for part, sides in _sides(source, parts, tuple(values)).items():
            found[key][part] = [_added(*pair) for pair in zip(found[key][part], sides, strict=True)]
    for key, sketches in found.items():
        counts = {value: _count(*sketches[part]) for value, part in zip(wanted, parts, strict=True)}
        if not source.untagged or any(counts.values()):
            groups[key] |= counts


def _added(packed: bytes, more: bytes | None) -> bytes:
    packed += more or b""
    return compact(packed) if len(packed) > ENOUGH else packed


def _count(named: bytes, everything: bytes, tagged: bytes) -> int:
    """Ids of the tenants asked for, and those none of whose events names any tenant: no id is both."""
    return count(named) + count_only(everything, tagged)


def _records(
    source: Source, parts: list[tuple[str, str]], extra: tuple[str, ...] = (), sums: Sequence[Sum] = ()
) -> Iterator[tuple]:
    """Groups with the sums and then the merged bytes of each (column, condition), one at a time."""
    signs = [f" AND r.sign = {sign}" for sign in SIGNS] if source.untagged else [""]
    select = [part.sql() for part in sums] + [
        f"string_agg(r.{column}, '') FILTER (WHERE {where or 'true'}{sign})"
        for column, where in parts
        for sign in signs
    ]
    columns = dict.fromkeys([*(measure for part in sums for measure in part.measures), *(name for name, _ in parts)])
    sql = source.sql(list(columns), ", ".join(select), extra)
    connection.ensure_connection()
    # Not Django's cursor, which cannot receive binary: text would double and then decode everything packed.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield from cursor.stream(sql, source.parameters, binary=True)


def _sides(source: Source, parts: list[tuple[str, str]], values: tuple) -> dict[tuple[str, str], tuple]:
    """(column, condition) → its merged bytes by sign, in the order of SIGNS."""
    if not source.untagged:
        return {part: (value, None, None) for part, value in zip(parts, values, strict=True)}
    return {part: values[len(SIGNS) * place :][: len(SIGNS)] for place, part in enumerate(parts)}
