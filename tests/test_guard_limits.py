"""Rate limits: requests and tokens within any minute, calls at once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from budgets.guard import closing
from budgets.guard.requests import Release
from budgets.models import RateCounter, RateLimit
from incidents.models import ModePolicy
from tests.cast import make_key
from tests.guard import reserve_at, utc

pytestmark = pytest.mark.django_db
START = utc("2026-11-21T10:00:30.4")


@pytest.fixture
def key(cast):
    return make_key(cast.support)[0]


def limit(team, **more) -> RateLimit:
    return RateLimit.objects.create(team=team, name="front door", **more)


def at(seconds: float):
    return START + timedelta(seconds=seconds)


def test_requests_per_minute_hold_over_any_minute(cast, key):
    limit(cast.support, requests_per_minute=3)
    decisions = [reserve_at(key, at(second))["decision"] for second in (0, 20, 40, 59, 60, 61, 62)]
    assert decisions == ["allow", "allow", "allow", "deny", "allow", "deny", "deny"]


def test_a_denial_says_when_there_is_room_again(cast, key):
    limit(cast.support, requests_per_minute=1)
    reserve_at(key, at(0))
    told = reserve_at(key, at(13))
    assert (told["reason"]["code"], told["retry_after"]) == ("requests_per_minute", 47)
    assert "front door" in told["reason"]["message"]
    assert reserve_at(key, at(13 + 47))["decision"] == "allow"


def test_tokens_per_minute_count_the_estimate(cast, key):
    limit(cast.support, tokens_per_minute=2200)
    assert [reserve_at(key, at(second))["decision"] for second in (0, 1, 2)] == ["allow", "allow", "deny"]
    assert reserve_at(key, at(2), input_tokens=1, max_output_tokens=1)["reason"]["code"] == "tokens_per_minute"


def test_a_call_larger_than_the_token_limit_never_fits(cast, key):
    limit(cast.support, tokens_per_minute=500)
    told = reserve_at(key, at(0))
    assert (told["decision"], told["retry_after"]) == ("deny", None)


def test_a_token_limit_needs_tokens(cast, key):
    limit(cast.support, tokens_per_minute=500)
    told = reserve_at(key, at(0), input_tokens=None, cost_usd=1)
    assert told["reason"]["code"] == "unknown_tokens"


def test_calls_at_once_are_limited_until_they_end(cast, key):
    limit(cast.support, concurrency=2)
    first, second = reserve_at(key, at(0)), reserve_at(key, at(0))
    assert reserve_at(key, at(1))["reason"]["code"] == "concurrency"
    closing.release(key, Release(reservation_id=first["reservation_id"]))
    assert reserve_at(key, at(2))["decision"] == "allow"
    assert second["decision"] == "allow"


def test_a_call_that_expired_is_not_at_once_any_more(cast, key):
    limit(cast.support, concurrency=1)
    reserve_at(key, at(0), ttl_seconds=10)
    assert reserve_at(key, at(9))["decision"] == "deny"
    assert reserve_at(key, at(10))["decision"] == "allow"
    closing.sweep(at(11))
    assert RateCounter.objects.get().in_flight == 1


def test_a_limit_covers_its_slice(cast, key):
    limit(cast.support, requests_per_minute=1, feature="chat")
    assert [reserve_at(key, at(0), feature="chat")["decision"] for _ in range(2)] == ["allow", "deny"]
    assert reserve_at(key, at(0), feature="search")["decision"] == "allow"


def test_a_denied_call_uses_up_no_limit(cast, key):
    limit(cast.support, requests_per_minute=2, concurrency=1)
    reserve_at(key, at(0), ttl_seconds=1)
    for _ in range(5):
        reserve_at(key, at(0))
    assert reserve_at(key, at(2))["decision"] == "allow"


def test_a_check_uses_up_no_limit(cast, key):
    limit(cast.support, requests_per_minute=1)
    for _ in range(3):
        assert reserve_at(key, at(0), check=True)["decision"] == "allow"


def test_a_limit_on_a_model_lets_another_model_through(cast, key):
    limit(cast.support, requests_per_minute=1, model="gpt-4o")
    ModePolicy.objects.create(mode="conserve", model_map={"gpt-4o": "gpt-4o-mini"})
    assert [reserve_at(key, at(0))["model"] for _ in range(2)] == ["gpt-4o", "gpt-4o-mini"]


def test_a_clock_that_goes_back_a_second_counts_in_the_latest_one(cast, key):
    limit(cast.support, requests_per_minute=2)
    assert [reserve_at(key, at(second))["decision"] for second in (0, -1, -2, 30)] == [
        "allow",
        "allow",
        "deny",
        "deny",
    ]


def test_now_is_the_databases_clock(cast, key):
    limit(cast.support, requests_per_minute=1)
    reserve_at(key, timezone.now())
    assert RateCounter.objects.get().second > 0
