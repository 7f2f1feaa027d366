"""Budgets as CSV: no spreadsheet runs a name, and every name comes back as it was."""

import pytest

from budgets.rules.table import read, written

COLUMNS = ["name", "limit"]


@pytest.mark.parametrize("name", ["Plain", "=1+1", "'=1+1", "''=x", "'quoted'", "-5 %", "'"], ids=repr)
def test_a_name_is_no_formula_and_comes_back(name):
    text = written([{"name": name, "limit": "5"}], COLUMNS)
    assert not text.splitlines()[1].startswith(("=", "-"))
    assert read(text, COLUMNS, 5)[0][1]["name"] == name


@pytest.mark.parametrize("sign", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_a_table_may_be_separated_as_spreadsheets_of_other_countries_do(sign):
    text = f'name{sign}limit\r\n"Support, monthly; all"{sign}5\r\n'
    assert read(text, COLUMNS, 5) == [(2, {"name": "Support, monthly; all", "limit": "5"})]
