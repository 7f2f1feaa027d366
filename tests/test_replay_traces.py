"""The readers of the public traces. The files live beside the repository; without them these tests are skipped."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from usage.replay.servegen import ServeGen
from usage.replay.shift import TimeShift
from usage.replay.single import azure, mooncake
from usage.replay.traces import UnknownTrace, open_traces

TRACES = Path(__file__).resolve().parents[1] / "../shared/data/llm_traces"
pytestmark = pytest.mark.skipif(not TRACES.exists(), reason="../shared/data/llm_traces is not there")
END = 1_790_000_000.0


def events(trace, count: int | None = None) -> list[dict]:
    made = []
    for part in trace.slices(TimeShift(trace.end, END), "t"):
        made += [msgspec.json.decode(line) for line in part.lines]
        if count and len(made) >= count:
            break
    return made


@pytest.fixture(scope="module")
def servegen() -> ServeGen:
    return ServeGen(TRACES / "servegen_requests.csv.gz", events=60_000, seed="test", teams=3)


@pytest.fixture(scope="module")
def made(servegen) -> list[dict]:
    return events(servegen)


def test_servegen_gives_about_the_number_asked_for(made):
    assert len(made) == pytest.approx(60_000, rel=0.02)


def test_servegen_events_are_in_order_inside_two_weeks_and_unique(made):
    times = [event["occurred_at"] for event in made]
    assert times == sorted(times)
    assert times[0] >= "2026-09-07" and times[-1] <= "2026-09-21T14:13:21"
    assert len({event["event_id"] for event in made}) == len(made)


def test_servegen_keeps_the_field_rules(made):
    for event in made:
        assert 0 <= event.get("cached_input_tokens", 0) <= event["input_tokens"]
        assert 0 <= event.get("reasoning_tokens", 0) <= max(event["output_tokens"], 0)
        assert event["latency_ms"] >= 0
        assert (event["status"] == "error") == ("error_type" in event)


def test_servegen_is_the_same_every_time_and_each_window_can_be_made_alone(servegen, made):
    again = ServeGen(TRACES / "servegen_requests.csv.gz", events=60_000, seed="test", teams=3)
    window = sorted(again.windows)[700]
    again.windows = {window: again.windows[window]}
    alone = events(again)
    by_id = {event["event_id"]: event for event in made}
    assert len(alone) > 10
    assert all(by_id[event["event_id"]] == event for event in alone)


def test_servegen_fails_at_the_stated_rate_and_thinks_where_it_should(made):
    assert sum(event["status"] == "error" for event in made) / len(made) == pytest.approx(0.018, abs=0.003)
    thinking = {event["model"] for event in made if event.get("reasoning_tokens")}
    assert thinking == {"deepseek-reasoner"}


def test_servegen_draws_the_stated_means(servegen):
    model, number = "m-large", "0"
    who = servegen.index[model, number]
    stated = servegen.quantiles[:, who, 0]
    lines = (stated[:, 1:] + stated[:, :-1]) / 2
    weights = np.diff([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1])
    assert float((lines * weights).sum(axis=1)[0]) == pytest.approx(427.532, rel=1e-6)


def test_azure_and_mooncake_keep_their_real_rows():
    code = azure(TRACES / "azure_llm_2023_code.csv.gz", events=None, seed="test", teams=1)
    made = events(code)
    assert (code.expected, len(made)) == (8819, 8819)
    assert made[0]["input_tokens"] == 4808
    moon = mooncake(TRACES / "mooncake_conversation.csv.gz", events=None, seed="test", teams=1)
    made = [event for event in events(moon) if event["status"] == "success"]
    assert sum(event["cached_input_tokens"] for event in made) == pytest.approx(54_098_411, rel=0.03)


def test_every_trace_is_told_by_its_first_line():
    names = [trace.name for trace in open_traces(sorted(TRACES.glob("[ams]*.csv*")), events=None, seed="test", teams=1)]
    assert sorted(names) == ["azure-code", "azure-conversation", "mooncake-conversation", "servegen"]


def test_companions_alone_are_no_trace():
    with pytest.raises(UnknownTrace, match="servegen_requests"):
        open_traces([TRACES / "servegen_clients.csv"], events=None, seed="test", teams=1)
