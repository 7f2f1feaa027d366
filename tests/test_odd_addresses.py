"""Addresses nobody was given by the desk: they get a page, a refusal or a 404, never an error; errors are logged."""

import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import Scope
from tests.cast import bearer, make_key

pytestmark = pytest.mark.django_db

PAGES = [
    "incident", "product", "executive", "spend", "spend-csv", "event-list", "change-list", "reconcile", "price-list",
    "price-add", "price-unpriced", "price-differences", "repricing-new", "teams", "audit",
]  # fmt: skip
PARAMETERS = [
    "team", "from", "to", "range", "model", "tenant", "status", "q", "after", "before", "of", "by", "then", "sort",
    "kind", "show",
]  # fmt: skip
ODD = ["%00", "%%0000", "9" * 30, "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "-1", "%F0%9F", "''"]


@pytest.fixture
def ada(client, cast):
    """A client signed in as the administrator of everything, who gets past every refusal of rights."""
    client.force_login(cast.ada)
    return client


@pytest.fixture
def any_key(cast) -> dict[str, str]:
    """Headers of a key that may call every endpoint."""
    return bearer(make_key(cast.support, *Scope.values)[1])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("odd", ODD)
def test_no_odd_parameter_is_an_error(ada, page, odd):
    for name in PARAMETERS:
        assert ada.get(f"{reverse(page)}?{name}={odd}").status_code < 500, name


@pytest.mark.parametrize("odd", [*ODD, "0001-01-01T00:00:00%2B14:00,999999"])
def test_no_odd_event_trace_or_conversation_is_an_error(ada, cast, odd):
    team = cast.support.slug
    at = (timezone.now() - timedelta(hours=1)).isoformat().replace("+", "%2B")
    for path in (
        f"/events/{team}/?at={odd}&id=e1",
        f"/events/{team}/?at={at}&id={odd}",
        f"/traces/{team}/{odd}",
        f"/conversations/{team}/{odd}",
    ):
        assert ada.get(path).status_code == 404, path


def test_a_model_with_a_nul_has_no_prices(client, any_key):
    answer = client.get(f"{reverse('api-prices')}?model=%00", headers=any_key)
    assert answer.json() == []


@pytest.mark.parametrize("address", ["api-changes", "api-prices", "api-repricings"])
@pytest.mark.parametrize(
    ("body", "status"), [('{"model":' + "[" * 50_000 + "]" * 50_000 + "}", 400), (f'"{"x" * 3_000_000}"', 413)]
)
def test_a_deep_or_large_body_is_refused_in_the_apis_own_form(client, any_key, address, body, status):
    answer = client.post(reverse(address), body, content_type="application/json", headers=any_key)
    assert answer.status_code == status
    assert answer.json()["error"]["fix"]


@pytest.mark.parametrize(
    ("address", "field", "body"),
    [
        ("api-changes", "at", {"kind": "deploy", "title": "old"}),
        ("api-prices", "valid_from", {"provider": "acme", "model": "m", "input_mtok": "1"}),
        ("api-repricings", "start", {"provider": "acme", "model": "m"}),
    ],
)
def test_a_time_no_other_zone_could_show_is_refused(client, any_key, address, field, body):
    body = body | {field: "0001-01-01T00:00:00Z"}
    answer = client.post(reverse(address), body, content_type="application/json", headers=any_key)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


def test_a_window_at_the_ends_of_the_calendar_is_refused(client, any_key):
    assert client.get(f"{reverse('api-changes')}?end=0001-01-01T00:00:00Z", headers=any_key).status_code == 400


@pytest.mark.parametrize(
    ("address", "back"),
    [
        ("/reconcile/start/", "/reconcile/"),
        ("/changes/7/remove/", "/changes/"),
        ("/prices/repricings/7/cancel/", "/prices/repricings/7/"),
        ("/settings/organisation/members/add/", "/settings/organisation/"),
        ("/settings/teams/support/members/add/", "/settings/teams/support/"),
    ],
)
def test_opening_what_only_takes_a_form_shows_a_page_with_a_way_back(ada, address, back):
    answer = ada.get(address)
    text = answer.content.decode()
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert text.count("<h1") == 1 and f'href="{back}"' in text


def test_sending_a_form_to_a_page_that_takes_none_shows_the_way_to_it(ada):
    answer = ada.post("/spend/")
    assert answer.status_code == 405
    assert 'href="/spend/"' in answer.content.decode()


def test_a_method_the_api_does_not_take_is_refused_in_its_own_form(client, any_key):
    answer = client.get(reverse("api-events"), headers=any_key)
    assert (answer.status_code, answer["Allow"]) == (405, "POST, OPTIONS")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_errors_are_logged_outside_debug():
    """Django's own default writes them nowhere."""
    program = (
        "import django, logging; django.setup();"
        "logging.getLogger('django.request').error('told', exc_info=ValueError('the cause'));"
        "logging.getLogger('django.request').warning('not told')"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "aiops_site.settings", "SECRET_KEY": "x", "DEBUG": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "ERROR django.request: told" in done.stderr
    assert "the cause" in done.stderr
    assert "not told" not in done.stderr
