"""FOCUS 1.2 (FinOps Open Cost and Usage Specification): the columns, and the lines that a day's charges become. Pure.

One line per UTC day × team × provider × model × environment × feature × cost centre, and a second one where some of
its calls have an unknown cost: roll-ups keep the cost of calls whole, so lines are not split into input and output,
whose tokens stand in columns of their own (x_).
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

FOCUS_COLUMNS = (
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "ListUnitPrice",
    "ConsumedQuantity",
    "ConsumedUnit",
    "PricingQuantity",
    "PricingUnit",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "SubAccountId",
    "Tags",
    "ServiceCategory",
    "ServiceSubcategory",
)
TOKENS = ("input", "cached_input", "cache_write", "output", "reasoning")
TOKEN_COLUMNS = tuple(f"x_{name.title().replace('_', '')}Tokens" for name in TOKENS)
OWN_COLUMNS = (
    "x_FocusVersion",
    "x_Currency",
    "x_SubAccountName",
    "x_Provider",
    "x_Model",
    "x_CostState",
    "x_Calls",
    "x_UnpricedCalls",
    "x_UnmeteredCalls",
    *TOKEN_COLUMNS,
    "x_Repriced",
)
COLUMNS = (*FOCUS_COLUMNS, *OWN_COLUMNS)
TAGS = ("environment", "feature", "cost_center")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class Charge:
    """What one slice of a day cost and used.

    cost: USD of the calls with a known cost, None where none of them has one. tokens: in the order of TOKENS.
    negotiated: a price of one team held, so the list price of the calls is not known. corrected: a re-pricing changed
    the day after its month was over; repriced: at any time.
    """

    start: datetime
    end: datetime
    team: str
    team_name: str
    provider: str
    model: str
    tags: tuple[tuple[str, str], ...]
    cost: Decimal | None
    calls: int
    unpriced: int
    unmetered: int
    tokens: tuple[int, ...]
    negotiated: bool = False
    repriced: bool = False
    corrected: bool = False

    @property
    def unknown(self) -> int:
        return self.unpriced + self.unmetered


def lines_of(charge: Charge) -> list[dict[str, str]]:
    """Column → text, one or two lines: the calls of known cost, and those of unknown cost, whose cost columns stay
    empty. Where both exist, the roll-ups do not tell whose tokens are whose: the quantities stay empty too.
    """
    mixed = charge.cost is not None and charge.unknown > 0
    found = []
    if charge.cost is not None:
        found.append(_line(charge, "known", charge.cost, alone=not mixed) | _counts(charge, known=True))
    if charge.unknown:
        found.append(_line(charge, "unknown", None, alone=not mixed) | _counts(charge, known=False))
    return found


def _line(charge: Charge, state: str, cost: Decimal | None, *, alone: bool) -> dict[str, str]:
    amount = "" if cost is None else f"{cost:f}"
    quantity = str(charge.tokens[0] + charge.tokens[TOKENS.index("output")]) if alone else ""
    unit = "Tokens" if alone else ""
    own = zip(TOKEN_COLUMNS, (str(count) if alone else "" for count in charge.tokens), strict=True)
    return {
        "BilledCost": amount,
        "EffectiveCost": amount,
        "ContractedCost": amount,
        "ListCost": "" if charge.negotiated else amount,
        "ListUnitPrice": "",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "SkuId": safe(f"{charge.provider}/{charge.model}"),
        "SkuMeter": "Model calls",
        "SkuPriceId": "",
        "ChargePeriodStart": _moment(charge.start),
        "ChargePeriodEnd": _moment(charge.end),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if charge.corrected else "",
        "SubAccountId": charge.team,
        "Tags": json.dumps({name: value for name, value in charge.tags if value}, ensure_ascii=False),
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "x_FocusVersion": "1.2",
        "x_Currency": "USD",
        "x_SubAccountName": safe(charge.team_name),
        "x_Provider": safe(charge.provider),
        "x_Model": safe(charge.model),
        "x_CostState": state,
        "x_Repriced": "true" if charge.repriced else "false",
    } | dict(own)


def _counts(charge: Charge, *, known: bool) -> dict[str, str]:
    """Calls of the line; those of known cost are all calls less the unknown ones."""
    calls = max(charge.calls - charge.unknown, 0) if known else charge.unknown
    unpriced, unmetered = (0, 0) if known else (charge.unpriced, charge.unmetered)
    return {"x_Calls": str(calls), "x_UnpricedCalls": str(unpriced), "x_UnmeteredCalls": str(unmetered)}


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def safe(text: str) -> str:
    """Text that no spreadsheet runs: a quote before what would be a formula. A number below 0 is none."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _NUMBER.fullmatch(text) else text
