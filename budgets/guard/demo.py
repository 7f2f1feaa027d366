"""An hour of reservations of a demo team, made through the guard itself. They have no events, so they are small."""

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from accounts.actions import create_api_key
from accounts.models import ApiKey, Team
from budgets.guard.closing import settle
from budgets.guard.decide import decide
from budgets.guard.requests import Reserve, Settle
from budgets.limits import add_limit
from budgets.models import Hold
from usage.pricing.actions import Author

TEAM = "coding"
LIMIT = "Review bot, requests a minute"
CALLS, BURST, STILL_OPEN = 45, 14, 4
FEATURES = (("review", "gpt-4o-mini"), ("completion", "gpt-4o-mini"), ("explain", "gpt-4o"))


def create_demo_reservations(now: datetime) -> int:
    """Settled, open, denied and run-over calls of the last hour; returns how many were asked for. Made once."""
    team = Team.objects.filter(is_demo=True, slug=TEAM).first()
    if team is None or Hold.objects.filter(team=team).exists():
        return 0
    key, _ = create_api_key(team=team, name="demo gateway", scopes=["guard"], label="demo")
    add_limit(
        author=Author(label="demo"),
        team=team,
        name=LIMIT,
        note="A loop in the bot once used up the day's budget in an hour",
        feature="review",
        requests_per_minute=8,
    )
    return _steady(key, now) + _burst(key, now)


def _steady(key: ApiKey, now: datetime) -> int:
    """A call a minute; the newest are still running, and one in eight costs more than was reserved."""
    dice = Random(7)  # noqa: S311 -- repeatable on purpose
    for number in range(CALLS):
        at = now - timedelta(minutes=CALLS - number)
        feature, model = FEATURES[number % len(FEATURES)]
        is_open = number >= CALLS - STILL_OPEN
        hold = _reserve(key, at, feature, model, dice.randint(400, 3_000), ttl=3_600 if is_open else 300)
        if hold is not None and not is_open:
            share = Decimal("1.4") if number % 8 == 0 else Decimal(dice.randint(55, 95)) / 100
            cost = (hold.estimate_usd * share).quantize(Decimal("1e-12")) if hold.estimate_usd else None
            settle(key, Settle(reservation_id=str(hold.pk), cost_usd=cost), at + timedelta(seconds=4))
    return CALLS


def _burst(key: ApiKey, now: datetime) -> int:
    """More of one feature within a minute than its limit lets through."""
    for number in range(BURST):
        at = now - timedelta(seconds=50 - number)
        hold = _reserve(key, at, "review", "gpt-4o-mini", 900, ttl=300)
        if hold is not None:
            settle(key, Settle(reservation_id=str(hold.pk), cost_usd=hold.estimate_usd), at + timedelta(seconds=2))
    return BURST


def _reserve(key: ApiKey, at: datetime, feature: str, model: str, tokens: int, ttl: int) -> Hold | None:
    """The hold of one call; None where it was denied."""
    request = Reserve(
        provider="openai",
        model=model,
        feature=feature,
        environment="prod",
        input_tokens=tokens,
        max_output_tokens=400,
        ttl_seconds=ttl,
    )
    decided = decide(key, request, check=False, at=at)
    return Hold.objects.get(pk=decided.reservation) if decided.reservation else None
