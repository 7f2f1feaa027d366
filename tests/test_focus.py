"""The FOCUS export: its columns, its sums, what it says of unknown costs, corrections and negotiated prices."""

import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.actions import Author
from budgets.rules.focus import FOCUS_COLUMNS, TOKENS, Charge, lines_of
from tests.cast import bearer, make_key
from tests.traffic import record
from usage.metrics import MetricQuery, query
from usage.models import Repricing
from usage.pricing.actions import Rates, add_price
from usage.rollups import drain

# The list of the FinOps Open Cost and Usage Specification, 1.2, that the export promises.
PROMISED = """BilledCost, EffectiveCost, ListCost, ContractedCost, ListUnitPrice, ConsumedQuantity, ConsumedUnit,
PricingQuantity, PricingUnit, SkuId, SkuMeter, SkuPriceId, ChargePeriodStart, ChargePeriodEnd, ChargeCategory,
ChargeClass, SubAccountId, Tags, ServiceCategory, ServiceSubcategory""".replace("\n", " ").split(", ")
NOON = timezone.now().replace(hour=0, minute=30, second=0, microsecond=0) - timedelta(days=2)


def days(at: datetime = NOON, number: int = 3) -> dict[str, str]:
    start = at.replace(hour=0)
    return {"start": f"{start:%Y-%m-%d}", "end": f"{start + timedelta(days=number):%Y-%m-%d}"}


def rows(response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.content
    return list(csv.DictReader(b"".join(response.streaming_content).decode().splitlines()))


def billed(found: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in found if row["BilledCost"]), Decimal(0))


@pytest.fixture
def traffic(cast):
    record(cast.support, NOON, 3, input_tokens=1237, feature="answers", cost_center="CC-7")
    record(cast.support, NOON, 2, model="gpt-4o-mini", feature="search", input_tokens=377)
    record(cast.search, NOON + timedelta(days=1), 4, provider="anthropic", model="claude-sonnet-4-5", output_tokens=13)
    record(cast.support, NOON, 2, model="house-model", provider="own")
    drain()


def test_the_columns_are_those_promised_and_our_own_begin_with_x(client, cast, traffic):
    client.force_login(cast.fatima)
    columns = list(rows(client.get("/reports/focus.csv", days()))[0])
    assert columns[: len(FOCUS_COLUMNS)] == list(FOCUS_COLUMNS) == [name.strip() for name in PROMISED]
    assert all(name.startswith("x_") for name in columns[len(FOCUS_COLUMNS) :])


def test_billed_cost_adds_up_to_the_spend_of_the_window_to_the_last_unit(client, cast, traffic):
    client.force_login(cast.fatima)
    found = rows(client.get("/reports/focus.csv", days()))
    start = NOON.replace(hour=0, minute=0)
    spend = query(MetricQuery(("cost_usd",), start, start + timedelta(days=3))).value("cost_usd")
    assert billed(found) == spend > 0


def test_calls_of_unknown_cost_stand_apart_with_empty_costs(client, cast, traffic):
    client.force_login(cast.fatima)
    (unknown,) = [row for row in rows(client.get("/reports/focus.csv", days())) if row["x_CostState"] == "unknown"]
    assert unknown["x_Model"] == "house-model" and unknown["x_UnpricedCalls"] == "2"
    assert {unknown[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")} == {""}
    assert unknown["ConsumedQuantity"] == "2200"


def test_a_slice_with_both_does_not_guess_whose_tokens_are_whose():
    charge = Charge(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, 2, tzinfo=UTC),
        team="support",
        team_name="Support",
        provider="openai",
        model="gpt-4o",
        tags=(),
        cost=Decimal("0.1"),
        calls=5,
        unpriced=0,
        unmetered=2,
        tokens=(100, 0, 0, 10, 0),
    )
    known, unknown = lines_of(charge)
    assert (known["BilledCost"], known["x_Calls"], known["ConsumedQuantity"]) == ("0.1", "3", "")
    assert (unknown["BilledCost"], unknown["x_Calls"], unknown["x_InputTokens"]) == ("", "2", "")
    assert len(TOKENS) == 5


def test_tags_are_json_and_charge_periods_are_days_of_utc(client, cast, traffic):
    client.force_login(cast.fatima)
    row = next(row for row in rows(client.get("/reports/focus.csv", days())) if "CC-7" in row["Tags"])
    assert json.loads(row["Tags"]) == {"environment": "prod", "feature": "answers", "cost_center": "CC-7"}
    assert row["ChargePeriodStart"] == f"{NOON:%Y-%m-%d}T00:00:00Z"
    assert row["ChargePeriodEnd"] == f"{NOON + timedelta(days=1):%Y-%m-%d}T00:00:00Z"


def test_a_day_repriced_after_its_month_was_over_is_a_correction(client, cast):
    old = (timezone.now().replace(day=1) - timedelta(days=1)).replace(hour=1, minute=0, second=0, microsecond=0)
    record(cast.support, old)
    drain()
    Repricing.objects.create(
        provider="openai",
        model="gpt-4o",
        start=old - timedelta(days=1),
        end=old + timedelta(hours=1),
        state="done",
        events_changed=1,
        finished_at=timezone.now(),
    )
    client.force_login(cast.fatima)
    (row,) = rows(client.get("/reports/focus.csv", days(old, 1)))
    assert (row["ChargeClass"], row["x_Repriced"]) == ("Correction", "true")


def test_with_a_negotiated_price_the_list_cost_is_not_known(client, cast):
    add_price(
        author=Author(label="test"),
        team=cast.support,
        provider="openai",
        model="gpt-4o",
        rates=Rates(input_mtok=Decimal(1), output_mtok=Decimal(2)),
        valid_from=NOON - timedelta(days=1),
    )
    record(cast.support, NOON)
    drain()
    client.force_login(cast.fatima)
    (row,) = rows(client.get("/reports/focus.csv", days()))
    assert row["BilledCost"] == row["ContractedCost"] != "" and row["ListCost"] == ""


def test_a_viewer_exports_their_own_teams_only(client, cast, traffic):
    client.force_login(cast.vera)
    assert {row["SubAccountId"] for row in rows(client.get("/reports/focus.csv", days()))} == {"support"}
    assert client.get("/reports/focus.csv", {"team": "search"}).status_code == 404


def test_a_read_key_gets_its_team_and_other_scopes_do_not(client, cast, traffic):
    _, key = make_key(cast.support, "read")
    assert {row["SubAccountId"] for row in rows(client.get("/api/v1/focus", days(), headers=bearer(key)))} == {
        "support"
    }
    _, other = make_key(cast.support, "ingest")
    assert client.get("/api/v1/focus", headers=bearer(other)).status_code == 403


@pytest.mark.parametrize(
    ("given", "field"),
    [({"month": "2026-13"}, "month"), ({"start": "2026-01-01"}, "end"), ({"typo": "1"}, "typo")],
    ids=["month", "half a window", "typo"],
)
def test_a_bad_window_names_the_field_and_the_fix(client, cast, given, field):
    _, key = make_key(cast.support, "read")
    answer = client.get("/api/v1/focus", given, headers=bearer(key))
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field and answer.json()["error"]["fix"]


def test_a_name_that_looks_like_a_formula_is_written_as_text(client, cast):
    record(cast.support, NOON, provider="own", model="=1+1")
    drain()
    client.force_login(cast.fatima)
    (row,) = rows(client.get("/reports/focus.csv", days()))
    assert row["x_Model"] == "'=1+1"
