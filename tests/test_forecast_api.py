"""GET /api/v1/forecast."""

from decimal import Decimal

import pytest
from django.core.management import call_command

from tests.cast import bearer, make_key
from tests.test_forecast_making import make, used_for

pytestmark = pytest.mark.django_db
URL = "/api/v1/forecast"


def test_a_key_reads_its_teams_spend_and_budgets(client, cast, support_key):
    used_for(20, cast.support)
    used_for(20, cast.search)
    budget = make(cast, name="Ours", limit="0.5")
    make(cast, name="Theirs", team="search")
    make(cast, name="Everything", team="")
    call_command("forecast", verbosity=0)
    found = client.get(URL, headers=bearer(support_key)).json()
    assert [(one["budget"], one["name"]) for one in found] == [(None, "Support AI"), (budget.pk, "Ours")]
    ours = found[1]
    assert Decimal(ours["low95"]) <= Decimal(ours["low80"]) <= Decimal(ours["expected"]) <= Decimal(ours["high95"])
    assert (ours["limit"], ours["unit"], ours["method"]) == ("0.5", "usd", "weekdays")
    assert "days" not in ours


def test_one_budget_comes_with_its_days(client, cast, support_key):
    used_for(20, cast.support)
    budget = make(cast, period="quarter")
    call_command("forecast", verbosity=0)
    [one] = client.get(URL, {"budget": budget.pk}, headers=bearer(support_key)).json()
    total = one["days"][-1]["total"]["expected"]
    assert float(one["expected"]) == pytest.approx(float(one["spent"]) + total, rel=1e-4)
    assert set(one["days"][0]["day"]) == {"expected", "low80", "high80", "low95", "high95"}


def test_what_cannot_be_forecast_is_null_with_a_reason(client, cast, support_key):
    call_command("forecast", verbosity=0)
    [one] = client.get(URL, headers=bearer(support_key)).json()
    assert one["expected"] is None and one["high95"] is None
    assert one["reason"] == "0 known days; a forecast needs 3"


@pytest.mark.parametrize(("query", "field"), [({"budget": "x"}, "budget"), ({"team": "support"}, "team")])
def test_a_wrong_parameter_is_named(client, support_key, query, field):
    answer = client.get(URL, query, headers=bearer(support_key))
    assert answer.status_code == 400 and answer.json()["error"]["field"] == field


def test_budget_0_is_no_budget_rather_than_all_of_them(client, support_key):
    assert client.get("/api/v1/forecast?budget=0", headers=bearer(support_key)).status_code == 404


def test_another_teams_budget_is_404(client, cast, support_key):
    used_for(5, cast.search)
    budget = make(cast, name="Theirs", team="search")
    call_command("forecast", verbosity=0)
    assert client.get(URL, {"budget": budget.pk}, headers=bearer(support_key)).status_code == 404


def test_a_key_without_the_scope_may_not_read(client, cast):
    assert client.get(URL, headers=bearer(make_key(cast.support, "ingest")[1])).status_code == 403
