"""The parts of the benchmark that need no desk; what it measures is not a test."""

import gzip
import json
from datetime import UTC, datetime

import pytest

from bench import sections, traffic
from bench.connection import Answer, accepted_of, post
from bench.report import hand_notes, render
from bench.table import MISSED, Rounds, Row, percentile, slope, verdict

SPAN = traffic.Span(datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 12, 2, tzinfo=UTC))
SOURCES = [traffic._demo, traffic._servegen]


def made(source, wanted: int, part: int = 0, parts: int = 1) -> list[tuple[int, bytes]]:
    if source is traffic._servegen and not traffic.SERVEGEN.exists():
        pytest.skip(f"{traffic.SERVEGEN} is not there")
    return list(source(wanted, SPAN, "try", part, parts))


@pytest.mark.parametrize("source", SOURCES)
def test_events_fall_into_the_span_with_unique_ids(source):
    events = [json.loads(line) for _, line in made(source, 500)]
    assert 300 <= len(events) <= 700
    assert len({event["event_id"] for event in events}) == len(events)
    times = [datetime.fromisoformat(event["occurred_at"]) for event in events]
    assert SPAN.start <= min(times) and max(times) <= SPAN.end


@pytest.mark.parametrize("source", SOURCES)
def test_parts_together_are_the_whole(source):
    whole = sorted(line for _, line in made(source, 300))
    parts = sorted(line for part in (0, 1) for _, line in made(source, 300, part, 2))
    assert parts == whole


def test_batches_are_of_one_team_and_lose_nothing():
    events = [(number % 3, b"%d" % number) for number in range(100)]
    gathered = list(traffic.batches(events, 10))
    assert sorted(line for _, lines in gathered for line in lines) == sorted(line for _, line in events)
    assert all(int(line) % 3 == team for team, lines in gathered for line in lines)
    assert max(len(lines) for _, lines in gathered) == 10


def test_a_prepared_request_is_whole():
    [request] = traffic.batch_requests([(1, b'{"a":1}'), (1, b'{"a":2}')], ["k0", "k1"], size=10, name="n")
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"Authorization: Bearer k1\r\n" in head and b"Idempotency-Key: n-0" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert gzip.decompress(body) == b'{"a":1}\n{"a":2}'
    assert post("/x", b"ab", "").startswith(b"POST /x HTTP/1.1\r\n")


def test_answers_are_read():
    answer = Answer(202, b"HTTP/1.1 202\r\nSet-Cookie: a=1\r\nset-cookie: b=2", b'{"accepted":17,"duplicates":0}')
    assert accepted_of(answer) == 17
    assert answer.header(b"Set-Cookie") == [b"a=1", b"b=2"]


def test_statistics():
    rounds = Rounds([3.0, 1.0, 2.0])
    assert rounds.median == 2.0
    assert rounds.spread(str) == "2.0 (1.0 … 3.0)"
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([5.0], 0.5) == 5.0
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert verdict(True, False) == MISSED


def test_the_report_has_a_line_for_each_row():
    row = Row("batches", "What", "Reference", "Ours", "0.5", "≥ 0.6", MISSED, ["Because."])
    text = render([row], ["- a machine"], "python -m bench")
    assert text.startswith("# ")
    assert "| What | Reference | Ours | 0.5 | ≥ 0.6 | **missed** |" in text
    assert "Because." in text and "- a machine" in text
    assert hand_notes()[0].startswith("# ")


def test_sections_of_other_benchmarks_survive_a_new_page(tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text("# Old\n")
    sections.put(page, "second", "## Second\n\nfirst try")
    sections.put(page, "first", "## First")
    sections.put(page, "second", "## Second\n\nagain")
    assert page.read_text().count("## Second") == 1 and "first try" not in page.read_text()
    page.write_text(sections.kept(page, "# New\n"))
    text = page.read_text()
    assert text.startswith("# New\n") and "# Old" not in text
    assert text.index("## First") < text.index("## Second") < text.index("again")
