"""Carrying out a roll-up statement: rows go through here as COPY text, so that numpy can compact what is packed."""

from collections.abc import Iterator
from datetime import datetime
from types import ModuleType
from typing import Any

from django.db import connection

from usage import histogram, sketch
from usage.measures import PACKED
from usage.rollups.sql import Rollup

_NULL = b"\\N"
# Who packs each packed column.
_BY = [{"histogram": histogram, "sketch": sketch}[packed.kind] for packed in PACKED]


def roll_up(
    cursor,
    rollup: Rollup,
    *,
    team: int,
    start: datetime,
    end: datetime,
    replace: bool,
    condition: str = "",
    **parameters: Any,
) -> None:
    """Bring the target's buckets in [start, end) up to date; with `replace` from scratch, else by adding.

    Runs in the caller's transaction.
    """
    parameters |= {"team": team, "start": start, "end": end}
    rows = list(_rows(cursor, rollup, condition, parameters))
    if replace:
        cursor.execute(rollup.delete(), parameters)
    if replace or not _has_rows(cursor, rollup, parameters):
        _copy(cursor, rollup.target, rollup, rows)
        return
    cursor.execute(f"CREATE TEMP TABLE rollup_rows (LIKE {rollup.target}) ON COMMIT DROP")
    _copy(cursor, "rollup_rows", rollup, rows)
    cursor.execute(rollup.insert())
    cursor.execute("DROP TABLE rollup_rows")


def _has_rows(cursor, rollup: Rollup, parameters: dict[str, Any]) -> bool:
    cursor.execute(f"SELECT EXISTS ({rollup.existing()})", parameters)
    return cursor.fetchone()[0]


def _copy(cursor, table: str, rollup: Rollup, rows: list[bytes]) -> None:
    # What fails inside a COPY is raised by psycopg itself.
    with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({rollup.columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write(row)


def _rows(cursor, rollup: Rollup, condition: str, parameters: dict[str, Any]) -> Iterator[bytes]:
    """COPY lines of the target, one at a time, with packed columns."""
    convert = _from_array if rollup.from_events else _from_packed
    statement = cursor.mogrify(f"COPY ({rollup.select(condition)}) TO STDOUT", parameters)
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        pending = b""
        for data in copy:
            *lines, pending = (pending + bytes(data)).split(b"\n")
            for line in lines:
                head, *texts = line.rsplit(b"\t", len(PACKED))
                packed = [_NULL if text == _NULL else convert(text, by) for text, by in zip(texts, _BY, strict=True)]
                yield b"\t".join([head, *packed]) + b"\n"


def _from_array(text: bytes, by: ModuleType) -> bytes:
    """COPY text of an int[] to COPY text of its packed values."""
    return b"\\\\x" + by.pack_values([int(value) for value in text[1:-1].split(b",")]).hex().encode()


def _from_packed(text: bytes, by: ModuleType) -> bytes:
    """COPY text of packed columns behind each other to that of one compact column."""
    return b"\\\\x" + by.compact(bytes.fromhex(text[3:].decode())).hex().encode()
