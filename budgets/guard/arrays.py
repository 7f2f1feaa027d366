"""PostgreSQL's array literals. psycopg adapts lists element by element, which was a third of a request's Python."""

from collections.abc import Iterable
from typing import Any


def numbers(values: Iterable[Any]) -> str:
    """Of ints and Decimals; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def booleans(values: Iterable[bool]) -> str:
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def texts(values: Iterable[str]) -> str:
    """Every element quoted, so that nothing in it means anything."""
    return "{" + ",".join(['"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values]) + "}"
