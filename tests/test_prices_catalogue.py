"""The catalogue: names from telemetry find the right entry or none, and prices are dated."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from usage.pricing.catalogue import CatalogueModel, find, normal_tier, search
from usage.pricing.rates import per_mtok

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

NAMES = [
    ("openai", "gpt-4o", "openai", "gpt-4o"),
    ("openai", "gpt-4o-2024-08-06", "openai", "gpt-4o"),
    ("OpenAI", " GPT-4o ", "openai", "gpt-4o"),
    ("azure.ai.openai", "gpt-4o", "azure", "gpt-4o"),
    ("az.ai.openai", "gpt-4o", "azure", "gpt-4o"),
    ("az.ai.inference", "gpt-4o", "azure", "gpt-4o"),
    ("azure", "azure/gpt-4o", "azure", "gpt-4o"),
    ("litellm", "azure/gpt-4o", "azure", "gpt-4o"),
    ("", "azure/gpt-4o", "azure", "gpt-4o"),
    ("aws.bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", "aws", None),
    ("bedrock", "converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", None),
    ("gcp.vertex_ai", "gemini-2.5-pro", "google", "gemini-2.5-pro"),
    ("gcp.gemini", "models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
    ("gcp.gen_ai", "gemini-2.5-pro", "google", "gemini-2.5-pro"),
    ("x_ai", "grok-4", "x-ai", None),
    ("xai", "grok-4", "x-ai", None),
    ("mistral_ai", "mistral-large-latest", "mistral", "mistral-large"),
    ("fireworks_ai", "accounts/fireworks/models/llama-v3p1-8b-instruct", "fireworks", None),
    ("", "gpt-4o", "openai", "gpt-4o"),
    ("", "claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
]


@pytest.mark.parametrize(("provider", "model", "seller", "entry"), NAMES)
def test_names_of_telemetry_find_their_entry(provider, model, seller, entry):
    found = find(provider, model)
    assert found is not None
    assert found.provider.id == seller
    assert entry is None or found.model.id == entry
    assert found.dated_rate("", NOON).rate is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("acme-gateway", "gpt-4o"),
        ("openai", "azure/gpt-4o"),
        ("", "llama-3.3-70b"),
        ("", "nonsense"),
        ("vllm", "llama-3.3-70b-internal"),
        ("openai", ""),
        ("", ""),
    ],
)
def test_what_is_not_surely_known_is_unknown(provider, model):
    assert find(provider, model) is None


def test_a_model_priced_by_audio_hours_only_is_unknown_for_tokens():
    whisper = next(entry for entry in search("groq whisper-large-v3") if entry.provider.id == "groq")
    assert whisper.dated_rate("", NOON).rate is None


def test_an_entry_without_a_price_is_unknown_unless_its_name_says_free():
    assert find("openai", "omni-moderation-latest").dated_rate("", NOON).rate is None
    free = next(entry for entry in search("openrouter deepseek :free"))
    assert free.dated_rate("", NOON).rate.cost(1000, 0, 0, 1000, 0) == 0


def test_prices_change_at_their_dates_and_not_before():
    entry = find("deepseek", "deepseek-v4-pro")
    change = datetime(2026, 8, 17, tzinfo=UTC)
    before, after = (entry.dated_rate("", at) for at in (change - timedelta(microseconds=1), change))
    assert per_mtok(before.rate.base.input) == Decimal("0.435")
    assert per_mtok(after.rate.base.input) == Decimal("0.66")
    assert before.end == after.start == change


@pytest.mark.parametrize(
    ("hour", "minute", "usd"), [(0, 59, "0.66"), (1, 0, "1.32"), (3, 59, "1.32"), (4, 0, "0.66"), (6, 0, "1.32")]
)
def test_prices_by_time_of_day_hold_for_the_moment_of_the_call(hour, minute, usd):
    at = datetime(2026, 11, 20, hour, minute, tzinfo=UTC)
    dated = find("deepseek", "deepseek-v4-pro").dated_rate("", at)
    assert per_mtok(dated.rate.base.input) == Decimal(usd)
    assert dated.start <= at < dated.end <= dated.start + timedelta(days=1)


def test_every_interval_holds_one_rate():
    """The rate at both ends of an interval is the rate inside it, for every dated model of the catalogue."""
    for entry in search("", limit=5000):
        if isinstance(entry.model.prices, list) or entry.model.price_variants:
            for tier in ("", *entry.tiers):
                for dated in entry.periods(tier, NOON):
                    inside = [dated.start, dated.end - timedelta(microseconds=1)]
                    rates = {entry.dated_rate(tier, at).rate for at in inside}
                    assert rates == {dated.rate}, (entry.provider.id, entry.model.id)


def test_a_special_tier_without_a_price_of_its_own_is_unknown():
    assert find("mistral", "mistral-large-latest").dated_rate("priority", NOON).rate is None


def test_the_standard_tier_has_many_names():
    assert {normal_tier(name) for name in ("", "default", "Standard", "auto", "on_demand")} == {""}
    assert normal_tier("Batch") == "batch"


def test_search_finds_by_every_word():
    found = search("anthropic sonnet 4-5")
    assert any(entry.provider.id == "anthropic" for entry in found)
    assert all("sonnet" in f"{entry.model.id} {entry.model.name}".lower() for entry in found)
    assert all(isinstance(entry, CatalogueModel) for entry in found)
