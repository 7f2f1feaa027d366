"""Providers' limits and their use: against the events themselves, over HTTP, and who may record them."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from tests.cast import bearer, make_key, make_team
from tests.traffic import event, record
from usage import partitions
from usage.actions import record_events
from usage.metrics import MetricQuery, QueryError, query
from usage.models import ProviderLimit
from usage.rollups import drain

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
QUOTA = ("quota_use_requests", "quota_use_tokens")


def limit(team=None, provider="openai", **fields) -> ProviderLimit:
    values = {"requests_per_minute": 10, "tokens_per_minute": 100_000} | fields
    return ProviderLimit.objects.create(team=team, provider=provider, **values)


@pytest.fixture
def at(db) -> datetime:
    """A minute some time ago."""
    partitions.ensure(timezone.now())
    return timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=50)


def used(team, at: datetime, minutes: int = 30, **options):
    q = MetricQuery(QUOTA, at, at + minutes * MINUTE, team_ids=(team.pk,), **options)
    return query(q)


def share(result, key=(), at=None) -> tuple:
    return tuple(result.value(name, key, at) for name in QUOTA)


# --- The figures --------------------------------------------------------------------------------------------------
def test_it_is_the_busiest_minute_of_the_window(at):
    team = make_team()
    limit()
    record(team, at, 2)
    record(team, at + 5 * MINUTE, 4, input_tokens=9_000, output_tokens=1_000)
    record(team, at + 9 * MINUTE, 3)
    drain()
    assert share(used(team, at)) == (Decimal("0.4"), Decimal("0.4"))


def test_a_longer_step_has_its_own_busiest_minute_and_an_empty_one_uses_nothing(at):
    team = make_team()
    at = at.replace(minute=at.minute // 5 * 5)
    limit()
    record(team, at, 1), record(team, at + MINUTE, 3), record(team, at + 6 * MINUTE, 2)
    drain()
    result = used(team, at, 15, step="5min")
    assert [value for _, value in result.points("quota_use_requests")] == [Decimal("0.3"), Decimal("0.2"), 0]


def test_without_a_limit_it_is_unknown_and_never_zero(at):
    team = make_team()
    record(team, at, 2), record(team, at, 2, provider="anthropic", model="claude-haiku-4-5")
    limit(requests_per_minute=None)
    drain()
    result = used(team, at, group_by=("provider",))
    assert share(result, ("anthropic",)) == (None, None)
    assert share(result, ("openai",)) == (None, Decimal("0.022"))
    assert share(used(team, at, filters={"provider": ("mistral",)})) == (None, None)


def test_models_that_share_a_limit_add_up_and_the_tightest_limit_counts(at):
    team = make_team()
    limit(requests_per_minute=10)
    limit(model="gpt-4o-mini", requests_per_minute=4)
    record(team, at, 3, model="gpt-4o"), record(team, at, 2, model="GPT-4o-mini", provider="OpenAI")
    drain()
    assert share(used(team, at))[0] == Decimal("0.5")  # 5 of 10, and 2 of 4
    record(team, at, 1, model="gpt-4o-mini")
    drain()
    assert share(used(team, at))[0] == Decimal("0.75")  # 6 of 10, and 3 of 4
    by_model = used(team, at, group_by=("model",))
    assert share(by_model, ("gpt-4o",))[0] == Decimal("0.3")


def test_a_teams_own_limit_stands_in_place_of_the_one_of_all(at):
    one, two = make_team("one"), make_team("two")
    limit(), limit(team=one, requests_per_minute=100)
    record(one, at, 5), record(two, at, 5)
    drain()
    assert share(used(one, at))[0] == Decimal("0.05")
    assert share(used(two, at))[0] == Decimal("0.5")


def test_only_model_calls_count(at):
    team = make_team()
    limit()
    record(team, at, 1), record(team, at, 5, operation="retrieval"), record(team, at, 5, operation="gateway")
    drain()
    assert share(used(team, at))[0] == Decimal("0.1")


def test_it_equals_the_events_of_the_busiest_minute(at):
    rng, team = Random(5), make_team()
    limit(region="eu", requests_per_minute=7, tokens_per_minute=9_999), limit(environment="prod")
    limit(provider="mistral", model="codestral-latest", requests_per_minute=3)
    events = [random_call(rng, at + rng.randrange(20) * MINUTE) for _ in range(300)]
    assert record_events(team=team, environment="", api_key_id=None, events=events).accepted == 300
    drain()
    result = used(team, at, 20, group_by=("provider", "environment"))
    for key in result.keys:
        mine = [e for e in events if (e["provider"], e["environment"]) == key]
        assert share(result, key) == pytest.approx(by_hand(mine), abs=Decimal("1e-12"))


def random_call(rng: Random, moment: datetime) -> dict:
    provider, model = rng.choice((("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("mistral", "codestral-latest")))
    return event(
        moment, provider=provider, model=model, region=rng.choice(("eu", "us")), input_tokens=rng.randint(1, 900),
        environment=rng.choice(("prod", "dev")), cached_input_tokens=None,
    )  # fmt: skip


def by_hand(events: list[dict]) -> tuple:
    found = []
    for one in ProviderLimit.objects.all():
        covered = [e for e in events if all(getattr(one, n) in ("", e[n]) for n in ("provider", "model", "region"))]
        covered = [e for e in covered if one.environment in ("", e["environment"])]
        calls, tokens = Counter(), Counter()
        for e in covered:
            calls[e["occurred_at"]] += 1
            tokens[e["occurred_at"]] += e["input_tokens"] + e["output_tokens"]
        if covered:
            shares = (max(calls.values()), one.requests_per_minute), (max(tokens.values()), one.tokens_per_minute)
            found.append([Decimal(most) / allowed for most, allowed in shares])
    return tuple(max(column) for column in zip(*found, strict=True)) if found else (None, None)


def test_it_is_refused_in_words_where_minutes_cannot_tell(at):
    team = make_team()
    with pytest.raises(QueryError, match="kept for 14 days"):
        used(team, at - timedelta(days=15))
    with pytest.raises(QueryError, match="Leave tenant out"):
        used(team, at, group_by=("tenant",))


# --- The records --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {"provider": ""},
        {"provider": "OpenAI"},
        {"requests_per_minute": None, "tokens_per_minute": None},
        {"requests_per_minute": 0},
        {"tokens_per_minute": 0},
    ],
)
def test_the_database_refuses_a_limit_that_says_nothing(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        limit(**fields)


def test_the_database_refuses_two_limits_for_the_same_calls():
    limit()
    with pytest.raises(IntegrityError), transaction.atomic():
        limit()


def posted(**changes) -> dict:
    empty = dict.fromkeys(("model", "region", "environment", "team", "tokens_per_minute", "note"), "")
    return empty | {"provider": " OpenAI ", "requests_per_minute": "500"} | changes


def test_a_limit_is_recorded_changed_and_removed_with_an_audit_entry_each(client, cast):
    client.force_login(cast.ada)
    assert client.post(reverse("limit-add"), posted(note="Console, 21 Nov")).status_code == 302
    one = ProviderLimit.objects.get()
    assert (one.provider, one.requests_per_minute, one.created_by) == ("openai", 500, cast.ada)
    edit = reverse("limit-edit", args=[one.pk])
    assert client.post(edit, posted(requests_per_minute="600")).status_code == 302
    assert client.post(reverse("limit-remove", args=[one.pk])).status_code == 302
    entries = AuditEntry.objects.filter(action__startswith="limit.").order_by("pk")
    assert [entry.action for entry in entries] == ["limit.added", "limit.changed", "limit.removed"]
    assert [entries[1].before["requests_per_minute"], entries[1].after["requests_per_minute"]] == [500, 600]
    assert not ProviderLimit.objects.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"provider": ""}, "This field is required"),
        ({"requests_per_minute": ""}, "Give the requests per minute, the tokens per minute, or both."),
        ({"requests_per_minute": "0"}, "1 or more"),
        ({"model": "gpt-4o"}, "There is a limit for this already"),
    ],
)
def test_a_form_that_cannot_be_saved_says_why(client, cast, changes, says):
    limit(model="gpt-4o")
    client.force_login(cast.ada)
    response = client.post(reverse("limit-add"), posted(**changes))
    assert response.status_code == 422 and says in response.content.decode()
    assert ProviderLimit.objects.count() == 1


def test_a_maintainer_records_for_the_own_team_only(client, cast):
    theirs, everyones = limit(team=cast.search), limit()
    client.force_login(cast.mia)
    assert client.get(reverse("limit-edit", args=[theirs.pk])).status_code == 404
    assert client.get(reverse("limit-edit", args=[everyones.pk])).status_code == 403
    assert client.post(reverse("limit-remove", args=[everyones.pk])).status_code == 403
    assert client.post(reverse("limit-add"), posted()).status_code == 422  # for all teams
    assert client.post(reverse("limit-add"), posted(team=cast.support.pk)).status_code == 302
    client.force_login(cast.vera)
    assert client.get(reverse("limit-add")).status_code == 403
    page = client.get(reverse("limit-list")).content.decode()
    recorded = page.partition("Recorded limits")[2].partition("</table>")[0]
    assert recorded.count('<th scope="row">') == 2  # support's and everyone's


def test_the_page_links_a_model_without_a_limit_to_the_filled_in_form(client, cast, at):
    record(cast.support, at, 3, region="eu")
    drain()
    client.force_login(cast.mia)
    page = client.get(reverse("limit-list")).content.decode()
    assert "add/?provider=openai&amp;model=gpt-4o" in page and "Unknown" in page
    form = client.get(reverse("limit-add"), {"provider": "openai", "model": "gpt-4o"}).content.decode()
    assert 'value="gpt-4o"' in form
    limit()
    assert "30" in client.get(reverse("limit-list")).content.decode().partition("Used in the last 24 hours")[2]


@pytest.mark.parametrize(
    ("recorded", "query_string", "says"),
    [
        (False, "", "Quota use is unknown: no limit is recorded"),
        (True, "", "Quota use 30"),
        (True, "?tenant=acme", "Quota use is not kept by tenant"),
        (True, "?range=30d", "kept for 14 days"),
    ],
    ids=["unknown", "known", "tenant", "old"],
)
def test_the_incident_view_says_how_saturated_the_providers_are(client, cast, at, recorded, query_string, says):
    if recorded:
        limit()
    record(cast.support, at, 3)
    drain()
    client.force_login(cast.mia)
    address = reverse("incident-part", args=["quota"]) + query_string
    assert says in client.get(address, headers={"HX-Request": "true"}).content.decode()


def test_the_api_lists_the_limits_and_gives_their_use(client, cast, at):
    limit(), limit(team=cast.search, requests_per_minute=5)
    record(cast.support, at, 3)
    drain()
    key = bearer(make_key(cast.support, "read")[1])
    (one,) = client.get(reverse("api-limits"), headers=key).json()
    assert (one["team"], one["provider"], one["requests_per_minute"]) == (None, "openai", 10)
    answer = client.get(
        reverse("api-metrics"),
        {"metric": ",".join(QUOTA), "group_by": "provider", "start": at.isoformat()},
        headers=key,
    ).json()
    assert Decimal(answer["rows"][0]["values"]["quota_use_requests"]) == Decimal("0.3")
    refused = client.get(reverse("api-metrics"), {"metric": QUOTA[0], "group_by": "tenant"}, headers=key)
    assert refused.status_code == 400 and refused.json()["error"]["field"] == "metric"


def test_a_limit_that_regions_share_is_used_by_all_of_them_in_the_same_minute(client, cast, at):
    limit()
    record(cast.support, at, 3, region="eu"), record(cast.support, at, 4, region="us")
    record(cast.support, at + MINUTE, 5, region="us")
    drain()
    client.force_login(cast.mia)
    page = client.get(reverse("incident-part", args=["quota"]), headers={"HX-Request": "true"}).content.decode()
    assert "Quota use 70" in page and "openai" in page


def test_a_limit_that_nothing_was_called_against_is_not_used(client, cast, at):
    limit(provider="mistral")
    record(cast.support, at, 1)
    drain()
    client.force_login(cast.mia)
    page = client.get(reverse("limit-list")).content.decode().partition("Used in the last 24 hours")[2]
    assert "mistral" in page and "room" in page and "set limit" in page
