"""The short way of an API request: past everything that is for pages, over a connection that is looked at for free."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.api import api_addresses
from accounts.models import Scope
from tests.cast import bearer, make_key
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


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("/api/v1/nothing", "/docs/api/"),
        ("/api/", "/docs/api/"),
        ("/api", "/docs/api/"),
        ("/api/v1/events/", "Send it to /api/v1/events."),
        ("/api//v1/incidents/7/entries/", "Send it to /api/v1/incidents/7/entries."),
        ("/api/events", "Send it to /api/v1/events."),
        ("/api/v1/alert_rules", "Send it to /api/v1/alert-rules."),
        ("/api/v1/%00" + "e" * 5000, "/docs/api/"),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_api_address_is_told_in_the_apis_own_form_with_the_right_one(client, path, fix, method):
    answer = getattr(client, method)(path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (404, "not_found", None)
    assert fix in error["fix"] and len(error["message"]) < 300


@pytest.mark.django_db
def test_every_address_of_the_api_tells_what_it_takes(client, cast):
    headers = bearer(make_key(cast.support, *Scope.values)[1])
    wrong = []
    for path in api_addresses():
        answer = client.trace(path, headers=headers)
        error = answer.json()["error"]
        if answer.status_code != 405 or answer["Allow"] not in error["fix"]:
            wrong.append(path)
    assert len(api_addresses()) > 20 and wrong == []


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
