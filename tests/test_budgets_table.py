"""Budgets as CSV: no spreadsheet runs a name, and every name comes back as it was."""

import pytest

from budgets.rules.table import read, written

COLUMNS = ["name", "limit"]


@pytest.mark.parametrize("name", ["Plain", "=1+1", "'=1+1", "''=x", "'quoted'", "-5 %", "'"], ids=repr)
def test_a_name_is_no_formula_and_comes_back(name):
    text = written([{"name": name, "limit": "5"}], COLUMNS)
    assert not text.splitlines()[1].startswith(("=", "-"))
    assert read(text, COLUMNS, 5)[0][1]["name"] == name
