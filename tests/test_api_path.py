"""The short way of an API request: past everything that is for pages, over a connection that is looked at for free."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.cast import bearer
from tests.ingest import URL, event, send


@pytest.fixture
def answer(client, support_key):
    return send(client, support_key, event("a"))


@pytest.mark.django_db
def test_an_api_answer_sets_no_cookie_and_keeps_the_headers_that_protect(answer):
    assert answer.status_code == 202
    assert not answer.cookies
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert int(answer["Content-Length"]) == len(answer.content)


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_refused(client, support_key):
    answer = client.get("/api/v1/metrics", headers=bearer(support_key) | {"Host": "evil.example"})
    assert answer.status_code == 400


@pytest.mark.django_db
def test_an_unknown_api_address_is_404(client, support_key):
    assert client.get("/api/v1/nothing", headers=bearer(support_key)).status_code == 404


@pytest.mark.django_db
def test_every_api_error_keeps_its_shape(client):
    answer = client.post(URL, b"{}", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert int(answer["Content-Length"]) == len(answer.content)


def test_a_single_event_takes_two_round_trips(transactional_db, client, ready_key):
    with CaptureQueriesContext(connection) as asked:
        assert send(client, ready_key, event("b")).json()["accepted"] == 1
    assert [query["sql"].split()[0] for query in asked] == ["SELECT", "SELECT"]


@pytest.fixture
def ready_key(transactional_db, client, support_key) -> str:
    """A key that was used, so that its use is not noted again, and whose series is known."""
    assert send(client, support_key, event("warm")).json()["accepted"] == 1
    return support_key


def test_a_session_ended_by_the_server_is_replaced_before_the_next_request(transactional_db, client, ready_key):
    other = connection.copy()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()
    connection.health_check_enabled, connection.health_check_done = True, False  # as at the start of a request
    assert send(client, ready_key, event("c")).json()["accepted"] == 1


def test_an_idle_session_is_usable_without_asking_the_server(transactional_db):
    connection.ensure_connection()
    with connection.execute_wrapper(lambda *_: pytest.fail("asked the server")):
        assert connection.is_usable()
    connection.close()
    assert not connection.is_usable()
