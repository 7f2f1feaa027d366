"""clients/python/examples/openai_guarded.py: the real openai package, a real desk, a local server as the provider."""

import importlib.util
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import openai
import pytest
from aiops_desk import Denied

from tests.chat_server import WORDS, chat_server
from tests.client import conserve
from tests.test_guard_bad_days import execute, ledger, make_budget, states_of

CLIENT = Path(__file__).parent.parent / "clients" / "python"
EXAMPLE = CLIENT / "examples" / "openai_guarded.py"
QUESTION = [{"role": "user", "content": "Why is the sky above us so very blue today ?"}]
# gpt-4o, USD per million tokens: 2.50 in, 1.25 cached, 10 out. 11 words asked, 4 of them cached; 13 words answered.
ASKED = 11
ANSWER_USD = ((ASKED - 4) * Decimal("2.50") + 4 * Decimal("1.25") + len(WORDS) * Decimal(10)) / 1_000_000


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("openai_guarded", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def provider():
    with chat_server() as server:
        yield server


@pytest.fixture
def chat(example, caller, provider, call):
    with openai.OpenAI(base_url=provider.url, api_key="none", max_retries=0) as client:
        yield example.GuardedChat(
            caller, {"openai": client}, feature=call["feature"], model="gpt-4o", max_output_tokens=100
        )


@pytest.fixture
def budget(desk, caller_key, call) -> int:
    return make_budget(desk, caller_key, Decimal(1), call["feature"])


def events(desk, call: dict) -> list[tuple]:
    """(model, input, output and cached tokens, cost) of the events of the call's feature."""
    return execute(
        desk,
        "SELECT s.model, e.input_tokens, e.output_tokens, e.cached_input_tokens, e.cost_usd FROM usage_event e"
        " JOIN usage_series s ON (s.team_id, s.id) = (e.team_id, e.series_id) WHERE s.feature = %s",
        (call["feature"],),
    )


def test_a_call_is_made_as_told_and_its_real_usage_is_booked_and_sent(desk, chat, provider, call, budget):
    assert chat.answer(QUESTION, tenant="acme") == " ".join(WORDS)
    [asked] = provider.asked
    assert (asked["path"], asked["model"], asked["max_completion_tokens"]) == ("/v1/chat/completions", "gpt-4o", 100)
    assert ledger(desk, budget) == (ANSWER_USD, 0)
    assert events(desk, call) == [("gpt-4o", ASKED, len(WORDS), 4, ANSWER_USD)]


def test_a_stream_is_booked_by_the_usage_in_its_last_chunk(desk, chat, provider, call, budget):
    assert "".join(chat.stream(QUESTION)).split() == WORDS
    assert provider.asked[0]["stream_options"] == {"include_usage": True}
    assert ledger(desk, budget) == (ANSWER_USD, 0)
    assert events(desk, call) == [("gpt-4o", ASKED, len(WORDS), 4, ANSWER_USD)]


def test_in_conserve_mode_the_cheaper_model_is_called_with_the_smaller_limit(desk, chat, caller_key, provider, call):
    conserve(desk, caller_key, call["feature"], max_output_tokens=6)
    assert chat.answer(QUESTION).split() == WORDS[:6]
    [asked] = provider.asked
    assert (asked["model"], asked["max_completion_tokens"]) == ("gpt-4o-mini", 6)
    assert events(desk, call)[0][:3] == ("gpt-4o-mini", ASKED, 6)


@pytest.mark.parametrize("way", ["answer", "stream"])
def test_a_denied_call_never_reaches_the_provider(desk, chat, caller_key, provider, call, way):
    make_budget(desk, caller_key, Decimal("0.000001"), call["feature"])
    with pytest.raises(Denied) as denied:
        list(getattr(chat, way)(QUESTION))
    assert (denied.value.code, provider.asked) == ("budget_exhausted", [])


def test_a_call_that_the_provider_refuses_costs_nothing(desk, chat, provider, budget):
    provider.fails = True
    with pytest.raises(openai.BadRequestError):
        chat.answer(QUESTION)
    assert (ledger(desk, budget), states_of(desk, budget)) == ((0, 0), {"released": 1})


def test_a_stream_that_breaks_off_is_booked_at_its_estimate(desk, chat, provider, budget):
    provider.breaks_after = 3
    with pytest.raises(openai.APIConnectionError):
        list(chat.stream(QUESTION))
    assert states_of(desk, budget) == {"settled": 1}
    used, reserved = ledger(desk, budget)
    assert used > ANSWER_USD and reserved == 0


def test_a_reader_who_leaves_in_the_middle_leaves_nothing_open(desk, chat, budget):
    stream = chat.stream(QUESTION)
    assert next(stream).strip() == WORDS[0]
    stream.close()
    assert states_of(desk, budget) == {"settled": 1}


def test_a_provider_without_a_client_is_no_call_and_no_cost(desk, chat, budget):
    chat.provider, chat.clients = "openai", {"azure": chat.clients["openai"]}
    with pytest.raises(KeyError):
        chat.answer(QUESTION)
    assert states_of(desk, budget) == {"released": 1}


def test_it_runs_as_a_program_and_says_when_it_is_denied(desk, caller_key, provider):
    environment = os.environ | {
        "AIOPS_URL": desk.url,
        "AIOPS_KEY": caller_key,
        "OPENAI_BASE_URL": provider.url,
        "OPENAI_API_KEY": "none",
        "PYTHONPATH": str(CLIENT / "src"),
    }

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, EXAMPLE, "Why is the sky blue?"], env=environment, capture_output=True, text=True
        )

    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [WORDS, WORDS]
    make_budget(desk, caller_key, Decimal("0.000001"), "example")
    done = run()
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("Not now: The budget “bad day example” has too little left for this call")
