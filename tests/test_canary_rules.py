"""What a synthetic check asks of an answer, and what it says is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.rules.canaries import Answered, Assertion, at_path, excerpt, failures, parse

ANSWER = json.dumps(
    {
        "choices": [{"message": {"content": "Send it back within 30 days."}}],
        "usage": {"total_tokens": 120},
        "citations": ["a", "b"],
        "found": 3,
        "none": None,
        "ok": True,
    }
)


def wrong(text: str, body: str = ANSWER, status: int = 200, milliseconds: int = 300, **terms) -> list[str]:
    asked = {"status": 200, "slowest_ms": None, "assertions": parse(text)} | terms
    return failures(Answered(status, body, milliseconds), **asked)


@pytest.mark.parametrize(
    "line",
    [
        "json choices.0.message.content",
        "json choices.0.message.content is string",
        "json usage.total_tokens is number",
        "json ok is boolean",
        "json citations is list",
        "json usage is object",
        "text contains 30 DAYS",
        "text lacks sorry",
        "citations citations >= 2",
        "citations found >= 3",
    ],
)
def test_an_answer_as_it_must_be_passes(line):
    assert wrong(line) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("json choices.1.message", "choices.1.message is missing"),
        ("json choices.x", "choices.x is missing"),
        ("json none", "none is missing"),
        ("json ok is number", "ok is no number"),
        ("json usage.total_tokens is string", "usage.total_tokens is no string"),
        ("text contains refund", "The text lacks “refund”"),
        ("text lacks 30 days", "The text has “30 days”"),
        ("citations citations >= 3", "2 citations, fewer than 3"),
        ("citations usage >= 1", "usage is no list and no number of citations"),
    ],
)
def test_it_says_what_is_wrong(line, says):
    assert wrong(line) == [says]


def test_status_and_time_are_judged_too_and_all_is_told_at_once():
    found = wrong("text contains refund", status=503, milliseconds=2500, slowest_ms=2000)
    assert found == [
        "Status 503 instead of 200",
        "Answered in 2500 ms, more than 2000 ms",
        "The text lacks “refund”",
    ]


@pytest.mark.parametrize(
    "body", ["<html>", "", "[" * 100_000, "9" * 5000], ids=["html", "empty", "deep", "long-number"]
)
def test_what_is_no_json_is_said_to_be_none(body):
    assert wrong("json choices", body=body) in (["The answer is no JSON"], ["choices is missing"])


def test_text_alone_needs_no_json():
    assert wrong("text contains hello", body="<p>Hello</p>") == []


@pytest.mark.parametrize(
    "line", ["json", "json a is colour", "contains x", "citations a > 1", "text contains", "citations a >= -1"]
)
def test_a_line_that_cannot_be_read_is_named(line):
    with pytest.raises(ValueError, match=line.split()[0]):
        parse(f"json ok\n{line}")


@given(st.lists(st.sampled_from(parse("json a.b\njson a is list\ntext contains x y\ntext lacks z\ncitations c >= 4"))))
def test_what_was_read_is_written_back_the_same(asked):
    asked = asked[:20]
    assert parse("\n".join(one.line for one in asked)) == asked


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
    st.text(),
)
def test_no_path_through_any_tree_is_an_error(tree, path):
    at_path(tree, path)


def test_an_excerpt_holds_no_secret():
    shown = excerpt('{"you sent": "Bearer tok-123456", "key": "tok-123456"}' + "x" * 900, ["Bearer tok-123456"])
    assert "tok-123456" not in shown
    assert shown.endswith("…")
    assert len(shown) < 600


def test_an_assertion_knows_how_people_write_it():
    assert Assertion("citations", "sources", "2").line == "citations sources >= 2"
