"""What people and programs are told when something is wrong."""

import psycopg
import pytest
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError
from django.http import Http404, HttpResponse
from django.test import Client, RequestFactory
from rest_framework import exceptions, serializers

from accounts.api import ApiProblem, api_exception_handler
from accounts.middleware import DatabaseUnavailableMiddleware
from tests.cast import make_user

DISK_FULL = psycopg.errors.DiskFull("could not extend file")
READ_ONLY = psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction")


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


UNAVAILABLE = [
    OperationalError("connection refused"),
    InterfaceError("connection already closed"),
    caused_by(OperationalError("disk"), DISK_FULL),
    caused_by(InternalError("read-only"), READ_ONLY),
]


def error_of(exc: Exception) -> tuple[int, dict, dict]:
    response = api_exception_handler(exc, {})
    return response.status_code, response.data["error"], dict(response.headers)


@pytest.mark.parametrize("exc", UNAVAILABLE)
def test_an_unavailable_database_is_503_and_asks_to_come_back(exc):
    status, error, headers = error_of(exc)
    assert (status, error["code"], headers["Retry-After"]) == (503, "database_unavailable", "5")


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied("no"), 403, "permission_denied"),
        (exceptions.ParseError(), 400, "parse_error"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.UnsupportedMediaType("text/xml"), 415, "unsupported_media_type"),
        (exceptions.NotAuthenticated(), 401, "not_authenticated"),
    ],
)
def test_every_expected_failure_has_the_same_shape(exc, status, code):
    found, error, _ = error_of(exc)
    assert (found, error["code"]) == (status, code)
    assert set(error) == {"code", "message", "field", "fix"} and error["message"]


def test_a_throttled_caller_is_told_how_long_in_whole_seconds():
    _, _, headers = error_of(exceptions.Throttled(wait=1.2))
    assert headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("detail", "field", "message"),
    [
        ({"name": ["Required."]}, "name", "Required."),
        ({"rates": [{}, {"input": ["Negative."]}]}, "rates[1].input", "Negative."),
        ({"non_field_errors": ["Ends before it starts."]}, None, "Ends before it starts."),
        (["Just wrong."], None, "Just wrong."),
    ],
)
def test_a_validation_error_names_the_first_field(detail, field, message):
    status, error, _ = error_of(serializers.ValidationError(detail))
    assert (status, error["field"], error["message"]) == (400, field, message)


def test_an_endpoint_can_say_everything_itself():
    problem = ApiProblem(413, "too_large", "The body is too large.", field="body", fix="Send less.", retry_after=7)
    status, error, headers = error_of(problem)
    assert (status, headers["Retry-After"]) == (413, "7")
    assert error == {"code": "too_large", "message": "The body is too large.", "field": "body", "fix": "Send less."}


def test_a_bug_stays_a_bug():
    assert api_exception_handler(ProgrammingError("no such column"), {}) is None
    assert api_exception_handler(ZeroDivisionError(), {}) is None


@pytest.mark.parametrize("exc", UNAVAILABLE)
def test_a_page_without_database_is_503_and_asks_no_database(exc):
    middleware = DatabaseUnavailableMiddleware(lambda request: HttpResponse())
    response = middleware.process_exception(RequestFactory().get("/"), exc)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.content.count(b"<h1") == 1


def test_the_page_middleware_leaves_bugs_alone():
    middleware = DatabaseUnavailableMiddleware(lambda request: HttpResponse())
    assert middleware.process_exception(RequestFactory().get("/"), ZeroDivisionError()) is None


@pytest.mark.django_db
def test_a_refusal_says_what_was_missing_and_who_can_grant_it(client, cast):
    client.force_login(cast.vera)
    page = client.get("/settings/teams/support/keys/new/").content.decode()
    assert "You need the right to make and revoke API keys in Support AI." in page
    assert "tara@desk.example" in page and "ada@desk.example" in page
    assert "stan@desk.example" not in page
    assert page.count("<h1") == 1


@pytest.mark.django_db
def test_what_does_not_exist_has_a_page(client):
    client.force_login(make_user("vera"))
    answer = client.get("/settings/teams/nope/")
    assert answer.status_code == 404
    assert answer.content.count(b"<h1") == 1


@pytest.mark.django_db
def test_a_stale_form_is_explained():
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/accounts/login/", {"login": "x", "password": "y"})
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
