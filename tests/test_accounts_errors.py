"""What people and programs are told when something is wrong."""

import json
import os
import subprocess
import sys

import psycopg
import pytest
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions, serializers
from rest_framework.views import APIView

from accounts.api import ApiProblem, api_exception_handler
from accounts.views.errors import server_error
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
    response = api_exception_handler(exc, {"view": APIView()})
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


ASK_WITHOUT_DATABASE = """
import django, json
django.setup()
from django.test import Client, RequestFactory
client = Client(raise_request_exception=False)
client.cookies["sessionid"] = "x" * 32
headers = {"Authorization": "Bearer aod_" + "a" * 10 + "_" + "b" * 40}
answers = [
    client.get("/settings/profile/"),
    client.get("/api/v1/changes", headers=headers),
    Client().get("/api/v1/changes", headers=headers),
]
print(json.dumps([[r.status_code, r["Retry-After"], r["Content-Type"], r.content.decode()] for r in answers]))
"""


def test_without_a_database_pages_and_api_answer_503():
    gone = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "ALLOWED_HOSTS": "testserver", "DEBUG": ""}
    environment = os.environ | gone | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", ASK_WITHOUT_DATABASE], env=environment, capture_output=True, text=True, timeout=60
    )
    page, *apis = json.loads(done.stdout.splitlines()[-1])
    assert page[:2] == [503, "5"]
    assert page[2].startswith("text/html") and page[3].count("<h1") == 1
    for api in apis:
        assert api[:3] == [503, "5", "application/json"]
        assert json.loads(api[3])["error"]["code"] == "database_unavailable"


def test_a_bug_is_a_plain_500_for_people_and_an_envelope_for_programs():
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        page = server_error(RequestFactory().get("/settings/"))
        api = server_error(RequestFactory().get("/api/v1/events"))
    assert page.status_code == api.status_code == 500
    assert page.content.count(b"<h1") == 1
    assert json.loads(api.content)["error"]["code"] == "internal_error"


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
