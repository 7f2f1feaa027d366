"""API keys: made once, shown once, revoked for good; and how a request with one is judged."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.actions import create_api_key, revoke_api_key
from accounts.models import ApiKey, AuditEntry
from accounts.rules import secret_matches, split_key
from tests.cast import bearer, make_key

pytestmark = pytest.mark.django_db


class Reading(APIView):
    """A minimal endpoint with the project's own authentication and permission classes."""

    required_scope = "read"

    def get(self, request):
        return Response({"team": request.auth.team.slug})


class Unscoped(Reading):
    required_scope = None


def call(text: str | None, view=Reading):
    headers = {} if text is None else {"HTTP_AUTHORIZATION": text}
    response = view.as_view()(APIRequestFactory().get("/", **headers))
    response.render()
    return response


def test_a_key_says_which_team_is_calling(cast):
    _, text = make_key(cast.support, "read")
    assert call(f"Bearer {text}").data == {"team": "support"}


@pytest.mark.parametrize("header", [None, "Basic abc", "Token abc"])
def test_without_a_key_the_answer_is_401_and_how_to_authenticate(cast, header):
    answer = call(header)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.data["error"]["code"] == "not_authenticated"
    assert "Authorization: Bearer" in answer.data["error"]["fix"]


def test_a_wrong_secret_an_unknown_prefix_and_a_malformed_key_are_401(cast):
    key, text = make_key(cast.support)
    wrong_secret = text[:-1] + ("a" if text[-1] != "a" else "b")
    unknown = text.replace(key.prefix, "0000000000")
    for bad in (wrong_secret, unknown, "aod_", "aod_x_y", text + "\x00", "é" * 54, ""):
        answer = call(f"Bearer {bad}")
        assert (answer.status_code, answer.data["error"]["code"]) == (401, "invalid_key"), bad


def test_a_revoked_key_is_refused_at_once(cast):
    key, text = make_key(cast.support)
    assert call(f"Bearer {text}").status_code == 200
    revoke_api_key(key=key)
    assert call(f"Bearer {text}").status_code == 401


def test_a_missing_scope_is_403_and_named(cast):
    _, text = make_key(cast.support, "ingest")
    answer = call(f"Bearer {text}")
    assert (answer.status_code, answer.data["error"]["code"]) == (403, "wrong_scope")
    assert "'read'" in answer.data["error"]["message"]


def test_an_endpoint_that_names_no_scope_is_closed(cast):
    _, text = make_key(cast.support)
    assert call(f"Bearer {text}", Unscoped).status_code == 403


def test_authentication_is_one_query(cast):
    _, text = make_key(cast.support)
    call(f"Bearer {text}")
    with CaptureQueriesContext(connection) as queries:
        assert call(f"Bearer {text}").status_code == 200
    assert len(queries) == 1


def test_last_use_is_noted_at_most_once_a_minute(cast):
    key, text = make_key(cast.support)
    call(f"Bearer {text}")
    key.refresh_from_db()
    first = key.last_used_at
    assert timezone.now() - first < timedelta(seconds=10)
    call(f"Bearer {text}")
    key.refresh_from_db()
    assert key.last_used_at == first
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=first - timedelta(minutes=2))
    call(f"Bearer {text}")
    key.refresh_from_db()
    assert key.last_used_at >= first


def test_only_a_hash_of_the_secret_is_kept(cast):
    key, text = make_key(cast.support)
    _, secret = split_key(text)
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert secret not in str(row)
    assert secret_matches(secret, row["digest"])


def test_the_database_refuses_a_key_without_or_with_an_unknown_scope(cast):
    for scopes in ([], ["everything"]):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(team=cast.support, name="x", prefix=f"p{len(scopes)}", digest=b"", scopes=scopes)


def make_over_http(client, **changes):
    form = {"name": "checkout", "scopes": ["ingest"], "environment": "prod"} | changes
    return client.post("/settings/teams/support/keys/new/", form)


def test_the_key_is_shown_once_with_a_ready_command(client, cast):
    client.force_login(cast.mia)
    answer = make_over_http(client)
    key = ApiKey.objects.get(name="checkout")
    assert f"aod_{key.prefix}_" in answer.content.decode()
    assert "curl" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    later = client.get("/settings/teams/support/").content.decode()
    assert f"aod_{key.prefix}_…" in later
    assert not any(split_key(word) for word in later.replace("<", " ").replace(">", " ").split())


def test_the_command_shown_with_a_new_key_works(client, cast):
    client.force_login(cast.mia)
    shown = make_over_http(client).context
    event = shown["curl_ingest"].split(" -d ")[1].strip("'")
    answer = client.post("/api/v1/events", event, "application/json", headers=bearer(shown["text"]))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


def test_a_key_shows_who_made_it_and_that_it_was_never_used(client, cast):
    client.force_login(cast.mia)
    make_over_http(client)
    page = client.get("/settings/teams/support/").content.decode()
    assert "mia@desk.example" in page and "never" in page and "prod" in page


def test_a_key_without_a_scope_is_rejected_at_the_field(client, cast):
    client.force_login(cast.mia)
    answer = make_over_http(client, scopes=[])
    assert "Not saved yet" in answer.content.decode()
    assert 'id="id_scopes_error"' in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_nobody_makes_a_key_that_may_do_more_than_they_may(client, cast):
    client.force_login(cast.mia)
    assert 'id="id_scopes_error"' in make_over_http(client, scopes=["prices"]).content.decode()
    assert not ApiKey.objects.exists()
    client.force_login(cast.tara)
    assert make_over_http(client, scopes=["prices"]).status_code == 200
    assert ApiKey.objects.get().scopes == ["prices"]


def test_revoking_asks_first_and_is_written_down_once(client, cast):
    key, _ = make_key(cast.support)
    client.force_login(cast.mia)
    address = f"/settings/teams/support/keys/{key.prefix}/revoke/"
    assert client.get(address).status_code == 200
    key.refresh_from_db()
    assert key.revoked_at is None
    client.post(address)
    client.post(address)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert AuditEntry.objects.filter(action="api_key.revoked", actor=cast.mia).count() == 1


def test_another_teams_key_is_not_found(client, cast):
    key, _ = make_key(cast.search)
    client.force_login(cast.mia)
    assert client.post(f"/settings/teams/support/keys/{key.prefix}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_the_audit_row_of_a_key_holds_no_secret(cast):
    _, text = create_api_key(team=cast.support, name="x", scopes=["read"], actor=cast.mia)
    _, secret = split_key(text)
    assert secret not in str(AuditEntry.objects.filter(action="api_key.created").values())
