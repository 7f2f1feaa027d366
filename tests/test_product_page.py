"""The product view over HTTP, with events recorded through the real ingest."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.traffic import record
from usage.changes import record_change
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)
PARTS = ("versions", "trends", "top")
HTMX = {"HX-Request": "true"}


def get(client, path, **headers):
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.content[:500]
    return answer.content.decode()


@pytest.fixture
def two_prompts(cast):
    """v9 cited every answer; v10 cites one in ten and sends three times the tokens."""
    now = timezone.now()
    record(cast.support, now - timedelta(hours=5), 60, prompt_version="v9", citations=2, refused=False)
    record(cast.support, now - timedelta(hours=2), 54, prompt_version="v10", citations=0, input_tokens=3000)
    record(cast.support, now - timedelta(hours=2), 6, prompt_version="v10", citations=1, input_tokens=3000)
    drain()
    return now


def test_without_events_it_shows_how_to_send_one(cast, client):
    client.force_login(cast.vera)
    page = get(client, "/product/")
    assert "curl http" in page
    assert page.count("<h1") == 1


def test_tiles_say_of_how_many_answers_they_speak(cast, client, two_prompts):
    client.force_login(cast.vera)
    page = get(client, "/product/")
    assert page.count("<h1") == 1
    assert "of 120 answers" in page
    assert "of 60 answers" in page  # refusals: only half of the answers say so
    assert "No judge scores yet" in page
    assert "no thumbs say so" in page


def test_versions_are_compared_in_the_order_people_name_them(cast, client, two_prompts):
    client.force_login(cast.vera)
    part = get(client, "/product/versions/", **HTMX)
    assert "answers: v10 against v9" in part
    assert "citation coverage −90.0 pt" in part
    assert "tokens per call +182 %" in part


def test_versions_can_be_chosen(cast, client, two_prompts):
    client.force_login(cast.vera)
    assert "answers: v9 against v10" in get(client, "/product/versions/?of=answers&a=v10&b=v9", **HTMX)
    assert "answers: v10 against v9" in get(client, "/product/versions/?of=nonsense&a=x&b=y", **HTMX)


def test_a_change_is_compared_before_and_after(cast, client, two_prompts):
    at = two_prompts - timedelta(hours=3)
    change, _ = record_change(team=cast.support, at=at, kind="prompt", title="Prompt v10", feature="answers")
    client.force_login(cast.vera)
    part = get(client, f"/product/versions/?change={change.pk}&around=6h", **HTMX)
    assert "Prompt: Prompt v10" in part
    assert "citation coverage −90.0 pt" in part
    assert "Less than a day on each side" in part


def test_a_change_of_another_team_is_not_there(cast, client, two_prompts):
    change, _ = record_change(team=cast.search, at=two_prompts, kind="prompt", title="Secret")
    client.force_login(cast.vera)
    for pk in (change.pk, "nonsense", 10**9):
        assert client.get(f"/product/versions/?change={pk}").status_code == 404


def test_one_tenant_has_no_figures_by_version_and_that_is_said(cast, client, two_prompts):
    client.force_login(cast.vera)
    assert "Remove the tenant filter" in get(client, "/product/versions/?tenant=acme", **HTMX)


def test_with_a_model_filter_it_counts_calls(cast, client, two_prompts):
    client.force_login(cast.vera)
    page = get(client, "/product/?model=gpt-4o")
    assert "Failed model calls" in page
    assert "Completion rate" not in page


def test_the_dearest_conversation_comes_first_and_links_to_itself(cast, client):
    now = timezone.now()
    record(cast.support, now - timedelta(hours=1), 3, conversation_id="cheap", user_hash="u-1")
    record(cast.support, now - timedelta(hours=1), 3, conversation_id="dear", user_hash="u-2", input_tokens=9000)
    record(cast.support, now - timedelta(hours=30), 9, conversation_id="yesterday", input_tokens=9000)
    drain()
    client.force_login(cast.vera)
    part = get(client, "/product/top/", **HTMX)
    assert 0 < part.index("/conversations/support/dear") < part.index("/conversations/support/cheap")
    assert part.index("u-2") < part.index("u-1")
    assert "yesterday" not in part


def test_filters_hold_for_the_dearest_too(cast, client):
    now = timezone.now() - timedelta(hours=1)
    record(cast.support, now, conversation_id="in-prod", tenant="acme")
    record(cast.support, now, conversation_id="in-dev", environment="dev")
    drain()
    client.force_login(cast.vera)
    part = get(client, "/product/top/?environment=prod&tenant=acme", **HTMX)
    assert "in-prod" in part
    assert "in-dev" not in part


@pytest.mark.parametrize("path", ["/product/", *(f"/product/{part}/" for part in PARTS)])
def test_another_teams_figures_are_not_shown(cast, client, path):
    record(cast.search, timezone.now() - timedelta(hours=1), 5, feature="secret-thing", conversation_id="secret-talk")
    record(cast.support, timezone.now() - timedelta(hours=1), 5)
    drain()
    client.force_login(cast.vera)
    assert "secret" not in get(client, path)
    assert client.get(f"{path}?team=search").status_code == 404


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_a_page_of_its_own_without_a_script(cast, client, two_prompts, part):
    client.force_login(cast.vera)
    assert get(client, f"/product/{part}/").count("<h1") == 1
    assert "<h1" not in get(client, f"/product/{part}/", **HTMX)


def test_an_unknown_part_is_not_there(cast, client):
    client.force_login(cast.vera)
    assert client.get("/product/nonsense/").status_code == 404


@pytest.mark.parametrize("path", ["/product/", *(f"/product/{part}/" for part in PARTS)])
def test_the_number_of_queries_does_not_grow_with_the_versions(cast, client, two_prompts, path):
    client.force_login(cast.vera)
    client.get(path)
    with CaptureQueriesContext(connection) as few:
        get(client, path)
    for number in range(8):
        record(
            cast.support, two_prompts - timedelta(hours=1), prompt_version=f"v{20 + number}", feature=f"f{number % 3}"
        )
    drain()
    with CaptureQueriesContext(connection) as many:
        get(client, path)
    assert len(many) <= len(few)


def test_a_change_of_this_moment_is_compared_all_the_same(cast, client, two_prompts):
    change, _ = record_change(team=cast.support, at=timezone.now(), kind="deploy", title="Now", service="api")
    client.force_login(cast.vera)
    assert "Deploy: Now" in get(client, f"/product/versions/?change={change.pk}", **HTMX)


@pytest.mark.parametrize(
    "window", ["range=1h", "range=90d", "from=2015-01-01", "from=2026-01-01T10:00&to=2026-01-01T10:01"]
)
@pytest.mark.parametrize("path", ["/product/", *(f"/product/{part}/" for part in PARTS), "/executive/"])
def test_any_window_is_answered(cast, client, two_prompts, path, window):
    client.force_login(cast.vera)
    get(client, f"{path}?{window}")
