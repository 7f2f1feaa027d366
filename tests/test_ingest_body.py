"""POST /api/v1/events: how a body may be written, packed and sized, and the answers to bodies that are not."""

import gzip
import io
import json
import time
import zlib

import pytest
import zstandard

from tests.cast import bearer, make_key
from tests.ingest import URL, event, send
from usage.api import events as endpoint
from usage.ingest.body import MAX_MEMBERS
from usage.ingest.parse import mended
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db

LINES = "application/x-ndjson"


def ids() -> set[str]:
    return set(UsageEvent.objects.values_list("event_id", flat=True))


def problem(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.content
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["fix"]
    assert ids() == set()
    return answer.json()["error"]


def test_it_takes_one_event(client, support_key):
    answer = send(client, support_key, event())
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": [], "rejected_count": 0}
    assert ids() == {"e1"}


def test_it_takes_one_event_over_several_lines(client, support_key):
    answer = send(client, support_key, json.dumps(event(), indent=2).encode())
    assert answer.json()["accepted"] == 1


def test_it_takes_an_array(client, support_key):
    assert send(client, support_key, [event("a"), event("b")]).json()["accepted"] == 2


@pytest.mark.parametrize("content_type", [LINES, "application/jsonl", "application/json"])
def test_it_takes_one_event_a_line(client, support_key, content_type):
    body = b"\n".join(json.dumps(event(name)).encode() for name in "abc") + b"\r\n\n"
    assert send(client, support_key, body, content_type=content_type).json()["accepted"] == 3


def test_a_bad_line_spoils_no_other(client, support_key):
    body = b"\n".join(
        [json.dumps(event("a")).encode(), b'{"event_id": "\xff"}', b'{"cut', json.dumps(event("b")).encode()]
    )
    answer = send(client, support_key, body, content_type=LINES).json()
    assert answer["accepted"] == 2
    assert [(bad["index"], bad["code"]) for bad in answer["rejected"]] == [(1, "invalid_utf8"), (2, "malformed_json")]


def test_a_byte_order_mark_is_skipped(client, support_key):
    assert send(client, support_key, b"\xef\xbb\xbf" + json.dumps(event()).encode()).status_code == 202


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:7]) + gzip.compress(body[7:])),
        ("zstd", zstandard.compress),
        ("zstd", lambda body: zstandard.compress(body[:7]) + zstandard.compress(body[7:])),
        ("zstd", lambda body: zstandard.ZstdCompressor(write_content_size=False).compress(body)),
        ("identity", bytes),
    ],
)
def test_it_unpacks(client, support_key, encoding, pack):
    body = pack(json.dumps([event("a"), event("b", feature="ünïcode")]).encode())
    answer = send(client, support_key, body, **{"Content-Encoding": encoding})
    assert answer.status_code == 202, answer.content
    assert ids() == {"a", "b"}


def test_another_encoding_is_415_and_names_those_supported(client, support_key):
    body = zlib.compress(json.dumps(event()).encode())
    error = problem(send(client, support_key, body, **{"Content-Encoding": "deflate"}), 415, "unsupported_encoding")
    assert "gzip, zstd" in error["fix"]


@pytest.mark.parametrize("content_type", ["text/csv", "application/json; charset=latin-1", "multipart/form-data"])
def test_another_content_type_is_415(client, support_key, content_type):
    problem(send(client, support_key, event(), content_type=content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
@pytest.mark.parametrize(
    "spoil", [lambda packed: packed[:-9], lambda packed: b"nonsense" + packed, lambda packed: packed[:3]]
)
def test_a_corrupt_or_cut_off_packing_is_400_and_named(client, support_key, encoding, pack, spoil):
    body = spoil(pack(json.dumps([event(str(number)) for number in range(50)]).encode()))
    error = problem(send(client, support_key, body, **{"Content-Encoding": encoding}), 400, "bad_encoding")
    assert encoding in error["message"]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstandard.compress),
        ("zstd", lambda body: zstandard.ZstdCompressor(write_content_size=False).compress(body)),
    ],
)
def test_a_bomb_is_413_and_names_the_limit(client, support_key, settings, encoding, pack):
    body = pack(b" " * (settings.INGEST_MAX_BYTES + 1))
    assert len(body) < 100_000
    error = problem(send(client, support_key, body, **{"Content-Encoding": encoding}), 413, "body_too_large")
    assert str(settings.INGEST_MAX_BYTES) in error["message"]


MANY_MEMBERS = {
    "gzip": gzip.compress(b""),
    "zstd": zstandard.compress(b""),
    "zstd, to be skipped": b"\x50\x2a\x4d\x18\0\0\0\0",
}


@pytest.mark.parametrize("kind", MANY_MEMBERS)
def test_a_body_of_very_many_members_is_400_at_once(client, support_key, kind):
    encoding, body = kind.split(",")[0], MANY_MEMBERS[kind] * 200_000  # took time in the square of this: minutes
    begun = time.monotonic()
    answer = send(client, support_key, body, **{"Content-Encoding": encoding})
    assert time.monotonic() - begun < 5
    assert f"more than {MAX_MEMBERS}" in problem(answer, 400, "bad_encoding")["message"]


def test_a_body_of_some_members_is_read_whole(client, support_key):
    members = [gzip.compress(f'{{"event_id": "{number}"}}\n'.encode()) for number in range(100)]
    body = b"\0\0".join(members) + b"\0"
    answer = send(client, support_key, body, content_type=LINES, **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 100)


def test_a_body_too_large_is_refused_before_it_is_read(client, support_key):
    class Unreadable(io.BytesIO):
        def read(self, *_):
            raise AssertionError("read")

    answer = client.generic(
        "POST",
        URL,
        b"",
        content_type="application/json",
        headers=bearer(support_key),
        **{"CONTENT_LENGTH": str(100 * 1024 * 1024), "wsgi.input": Unreadable()},
    )
    problem(answer, 413, "body_too_large")


def test_a_body_shorter_than_it_says_is_400(client, support_key):
    body = json.dumps(event()).encode()
    answer = client.generic(
        "POST",
        URL,
        body,
        content_type="application/json",
        headers=bearer(support_key),
        **{"CONTENT_LENGTH": str(len(body) + 10), "wsgi.input": io.BytesIO(body)},
    )
    problem(answer, 400, "body_cut_off")


def test_ten_thousand_events_in_one_body_are_taken(client, support_key):
    body = gzip.compress(json.dumps([event(str(number)) for number in range(10_000)]).encode())
    assert send(client, support_key, body, **{"Content-Encoding": "gzip"}).json()["accepted"] == 10_000


@pytest.mark.parametrize("joined", [lambda one: b"[" + b",".join(one) + b"]", b"\n".join])
def test_more_events_than_allowed_are_413(client, support_key, settings, joined):
    settings.INGEST_MAX_EVENTS = 5
    body = joined([json.dumps(event(str(number))).encode() for number in range(6)])
    error = problem(send(client, support_key, body), 413, "too_many_events")
    assert "5" in error["message"]


def test_an_array_of_millions_of_nothing_is_refused_before_it_is_split(client, support_key):
    problem(send(client, support_key, b"[" + b"0," * 2_000_000 + b"0]"), 413, "too_many_events")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \n ", "empty_body"),
        (b"[]", "no_events"),
        (b'[{"event_id": "a"', "malformed_json"),
        (b"[1,]", "malformed_json"),
        (b"nonsense", "malformed_json"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_a_body_that_is_no_json_is_400(client, support_key, body, code):
    problem(send(client, support_key, body), 400, code)


def test_invalid_utf8_is_400_with_the_offset_of_the_byte(client, support_key):
    body = b'[{"event_id": "' + b"a" * 1_100_000 + "ü".encode() + b'\xff"}]'
    error = problem(send(client, support_key, body), 400, "invalid_utf8")
    assert f"byte {body.index(0xFF)} " in error["message"]


@pytest.mark.parametrize("body", [b'"just a text"', b"12", b"null", b'[1, null, "x", [] ]'])
def test_what_is_not_an_object_is_rejected(client, support_key, body):
    answer = send(client, support_key, body)
    assert answer.status_code == 400
    assert {bad["code"] for bad in answer.json()["rejected"]} == {"not_an_object"}


def test_marking_what_json_cannot_say_takes_linear_time():
    hostile = b'NaN "' + b'\\"' * 500_000
    started = time.monotonic()
    mended(hostile)
    assert time.monotonic() - started < 2


def test_without_a_key_it_is_401(client, db):
    answer = client.post(URL, b"{}", content_type="application/json")
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer


def test_with_a_key_of_another_scope_it_is_403_naming_the_scope(client, cast):
    answer = send(client, make_key(cast.support, "read")[1], event())
    assert answer.status_code == 403
    assert "ingest" in answer.json()["error"]["message"]


def test_too_many_bodies_at_once_are_429_with_retry_after(client, support_key):
    with endpoint.budget.share() as take:
        take(endpoint.budget.limit - 10)
        answer = send(client, support_key, event())
    problem(answer, 429, "overloaded")
    assert int(answer["Retry-After"]) >= 1
    assert send(client, support_key, event()).status_code == 202
    assert endpoint.budget.held == 0


def test_a_chunked_body_is_read_where_the_server_ends_it(client, support_key, settings):
    class Chunks(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 10))

    def post(body):
        return client.generic(
            "POST",
            URL,
            b"",
            content_type="application/json",
            headers=bearer(support_key) | {"Transfer-Encoding": "chunked"},
            **{"wsgi.input": Chunks(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        )

    assert post(json.dumps(event()).encode()).json()["accepted"] == 1
    settings.INGEST_MAX_BYTES = 50
    assert post(json.dumps(event()).encode()).status_code == 413


def test_chunks_that_cannot_be_read_are_400(client, support_key):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise EOFError("the chunk has no size")

    answer = client.generic(
        "POST",
        URL,
        b"",
        content_type="application/json",
        headers=bearer(support_key) | {"Transfer-Encoding": "chunked"},
        **{"wsgi.input": Broken(), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    problem(answer, 400, "body_cut_off")
    assert endpoint.budget.held == 0
