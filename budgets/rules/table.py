"""Budgets as CSV: one line each, the same columns out and in."""

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

THRESHOLDS = "thresholds"
# What a spreadsheet would run as a formula is written behind an apostrophe, and read back without it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class BadTable(ValueError):
    """A file that is no table of budgets; the message says what to change."""


def written(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """Facts as CSV with a head. Thresholds read "60<33:notify 85:conserve"."""
    out, names = StringIO(), list(columns)
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(name, row[name]) for name in names})
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    if name == THRESHOLDS:
        return " ".join(f"{percent_text(row)}:{row['action']}" for row in value)
    text = str(value)
    return f"'{text}" if _is_formula(text) else text


def read(text: str, columns: Iterable[str], most: int) -> list[tuple[int, dict[str, Any]]]:
    """(line number, facts) of each row; empty cells are left out, so that they take the default.

    Raises BadTable: no head, a column that is not known or missing, more than `most` rows, broken quotes.
    """
    known, text = list(columns), text.lstrip("\ufeff")
    reader = csv.DictReader(StringIO(text), strict=True, delimiter=_delimiter(text))
    try:
        head = [name.strip() for name in reader.fieldnames or []]
        _check_head(head, known)
        reader.fieldnames = head
        rows = [(reader.line_num, _facts(row, reader.line_num)) for row in reader if any(row.values())]
    except csv.Error as exc:
        raise BadTable(f"Line {reader.line_num} cannot be read as CSV: {exc}.") from exc
    if len(rows) > most:
        raise BadTable(f"The file has {len(rows)} budgets; the most at once is {most}. Split it.")
    return rows


def _delimiter(text: str) -> str:
    """What stands most often in the first line: many spreadsheets write semicolons, and tabs where cells are copied."""
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def _check_head(head: list[str], known: list[str]) -> None:
    if "name" not in head or "limit" not in head:
        raise BadTable("The first line must name the columns, at least name and limit. Export once to see all of them.")
    if unknown := [name for name in head if name not in known]:
        raise BadTable(f"There is no column “{unknown[0]}”. Known: {', '.join(known)}.")
    if len(set(head)) < len(head):
        raise BadTable("A column stands there twice.")


def _facts(row: dict[str | Any, Any], line: int) -> dict[str, Any]:
    if None in row:
        raise BadTable(f"Line {line} has more cells than the first line.")
    cells: dict[str, Any] = {name: _plain(value) for name, value in row.items() if value}
    if THRESHOLDS in cells:
        cells[THRESHOLDS] = [_threshold(part) for part in cells[THRESHOLDS].split()]
    return cells


def _plain(value: str) -> str:
    return value[1:] if value[:1] == "'" and _is_formula(value) else value.strip()


def _is_formula(text: str) -> bool:
    """Behind quotes too: a name that begins with one of its own gets another, so that it comes back as it was."""
    return text.lstrip("'").startswith(FORMULA_STARTS)


def _threshold(part: str) -> dict[str, str]:
    percent, _, action = part.partition(":")
    return percent_fact(percent) | {"action": action}


def percent_text(fact: Mapping[str, str]) -> str:
    """A threshold's percent as people write it: 85, or 60<33 for 60 % before 33 % of the period is over."""
    return f"{fact['percent']}<{fact['before']}" if fact.get("before") else fact["percent"]


def percent_fact(text: str) -> dict[str, str]:
    """The reverse of `percent_text`; what is wrong with the numbers is found by the checks."""
    percent, sign, before = (part.strip().rstrip("%").strip() for part in text.partition("<"))
    return {"percent": percent} | ({"before": before or "?"} if sign else {})
