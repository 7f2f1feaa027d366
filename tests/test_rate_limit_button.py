"""The rate limit of an incident: what is suggested, that the guard follows it and lets go, and where it is seen."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions.incidents import declare_incident
from incidents.controls import What, Where, set_control
from incidents.models import Control, Incident, TimelineEntry
from incidents.queries.watch import watched
from incidents.rules.triage.limits import Rate, Suggested, suggested
from tests.cast import make_key
from tests.guard import reserve, reserve_at
from tests.test_triage_pages import minute, move_back, page
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


def rate(calls=600, refused=0, tokens=60_000, minutes=10.0, usual_calls=0, usual_minutes=0.0) -> Rate:
    return Rate(calls, refused, tokens, minutes, usual_calls, usual_minutes)


def test_against_429s_nine_tenths_of_what_gets_through_are_suggested():
    found = suggested(rate(refused=200), 1500.0, is_refused=True)
    assert (found.requests, found.tokens, found.at_once) == (36, 5400, 1)
    assert "nine tenths of the 40.0 calls a minute that get through, of 60.0" in found.why


def test_of_a_load_above_the_usual_the_usual_is_suggested():
    found = suggested(rate(usual_calls=600, usual_minutes=60.0), 30_000.0, is_refused=False)
    assert (found.requests, found.tokens, found.at_once) == (10, 1000, 5)
    assert "its usual 10.0 calls a minute; now there are 60.0" in found.why


@pytest.mark.parametrize(
    "read",
    [rate(), rate(usual_calls=3600, usual_minutes=60.0), rate(refused=600)],
    ids=["usual unknown", "as usual", "nothing gets through"],
)
def test_otherwise_it_is_half_of_what_there_is(read):
    found = suggested(read, None, is_refused=bool(read.refused))
    assert (found.requests, found.tokens, found.at_once) == (30, 3000, None)


def test_without_calls_nothing_is_suggested_and_without_tokens_none_of_those():
    assert suggested(rate(calls=0), None, is_refused=True).amounts == Suggested(None, None, None, "").amounts
    assert suggested(rate(tokens=None), None, is_refused=False).tokens is None


@pytest.fixture
def incident(cast) -> Incident:
    """Half of the calls to openai are refused with 429 since half an hour, as team support sees it."""
    at = minute()
    for back in (timedelta(hours=3), timedelta(weeks=1)):
        for provider in ("openai", "anthropic"):
            record(cast.support, at - back, 60, provider=provider, model=f"{provider}-model")
    refused = {"status": "error", "error_type": "rate_limit", "http_status": 429, "input_tokens": None}
    refused |= {"output_tokens": None, "cached_input_tokens": None}
    for ago in (25, 20, 15):
        start = at - timedelta(minutes=ago)
        record(cast.support, start, 40, provider="openai", model="openai-model", **refused)
        record(cast.support, start + timedelta(seconds=1), 40, provider="openai", model="openai-model")
        record(cast.support, start + timedelta(seconds=2), 20, provider="anthropic", model="anthropic-model")
    drain()
    facts = {"team": cast.support, "title": "429", "severity": 2, "at": at - timedelta(minutes=20)}
    return declare_incident(author=Author(label="a test"), impact_started_at=at - timedelta(minutes=30), **facts)


def offers(client, incident: Incident, mode: str) -> list[dict]:
    response = client.get(reverse("incident-mitigations", args=[incident.pk]), {"mode": mode})
    return [one for one in response.context["offers"] if one["one"].what.get("kind") == "rate_limit"]


def put(client, incident: Incident, **more):
    data = {"token": offers(client, incident, "rate_limit")[0]["token"], "lasts": "15", "requests_per_minute": "2"}
    return client.post(reverse("incident-mitigations", args=[incident.pk]), data | more, follow=True)


def test_it_is_offered_over_the_blast_radius_with_its_figure_filled_in(client, cast, incident):
    client.force_login(cast.olu)
    (offer,) = offers(client, incident, "rate_limit")
    assert offer["one"].where == {"provider": "openai"} and offer["one"].signal == "limited"
    amount = {name: amount for name, _, amount in offer["amounts"]}["requests_per_minute"]
    text = page(client, "mitigations", incident)
    assert f'name="requests_per_minute" type="number" inputmode="numeric" min="1" step="1" value="{amount}"' in text
    assert "nine tenths of the" in text and "calls a minute that get through" in text
    assert amount in (3, 4)  # of 120 calls in 30 minutes and as long as this test takes


@pytest.mark.parametrize("mode", ["cost", "other"])
def test_it_is_offered_against_what_costs_and_against_the_unknown_too(client, cast, incident, mode):
    client.force_login(cast.olu)
    assert offers(client, incident, mode)


def test_the_guards_next_answer_follows_it_and_its_undo(client, cast, incident, support_key):
    client.force_login(cast.olu)
    assert reserve(client, support_key)["decision"] == "allow"
    put(client, incident)
    answers = [reserve(client, support_key) for _ in range(3)]
    assert [one["decision"] for one in answers] == ["allow", "allow", "deny"]
    assert answers[2]["reason"]["code"] == "requests_per_minute" and answers[2]["retry_after"] > 0
    assert "rate limit for now: Support AI · openai" in answers[2]["reason"]["message"]
    assert reserve(client, support_key, provider="anthropic", model="claude-sonnet-4-5")["decision"] == "allow"
    control = Control.objects.get()
    client.post(reverse("incident-mitigation-end", args=[incident.pk, control.pk]))
    assert reserve(client, support_key)["decision"] == "allow"
    told = list(incident.timeline.filter(kind=TimelineEntry.Kind.MITIGATION).values_list("text", flat=True))
    assert told[0].startswith("Rate limit of 2 requests/min: Support AI · openai is in force until")
    assert "ended" in told[1]
    entry = AuditEntry.objects.get(action="control.set")
    assert (entry.after["requests_per_minute"], entry.after["origin"]) == (2, "incident")


def limit_for_now(cast, team, **amounts) -> Control:
    what = What("rate_limit", **amounts)
    expires = timezone.now() + timedelta(minutes=15)
    where = Where(team=team, provider="openai")
    return set_control(author=Author(user=cast.olu), where=where, what=what, reason="429", expires_at=expires)


def test_one_that_expired_limits_nothing_without_any_worker(cast):
    key = make_key(cast.support)[0]
    limit_for_now(cast, cast.support, requests_per_minute=1)
    now = timezone.now()
    assert [reserve_at(key, now + timedelta(seconds=n))["decision"] for n in (0, 1)] == ["allow", "deny"]
    later = now + timedelta(minutes=15)
    assert [reserve_at(key, later + timedelta(seconds=n))["decision"] for n in (0, 1)] == ["allow", "allow"]


def test_tokens_and_calls_at_once_are_limited_too(cast):
    key, now = make_key(cast.support)[0], timezone.now()
    limit_for_now(cast, cast.support, tokens_per_minute=2200, concurrency=5)
    answers = [reserve_at(key, now)["reason"]["code"] for _ in range(3)]
    assert answers[2] == "tokens_per_minute"
    small = {"input_tokens": 1, "max_output_tokens": 1}
    codes = [reserve_at(key, now + timedelta(seconds=61), **small)["reason"]["code"] for _ in range(4)]
    assert codes[-1] == "concurrency"


def test_a_call_that_fails_over_is_counted_where_it_goes(cast):
    """The limit is over anthropic; calls that ask for openai are led there."""
    key, author, now = make_key(cast.support)[0], Author(user=cast.olu), timezone.now()
    over = Where(team=cast.support, provider="openai")
    set_control(author=author, where=over, what=What("failover", failover_order=["anthropic"]), reason="down")
    there = Where(team=cast.support, provider="anthropic")
    set_control(author=author, where=there, what=What("rate_limit", requests_per_minute=1), reason="spare it")
    assert [reserve_at(key, now)["decision"] for _ in range(2)] == ["degrade", "deny"]


def test_limits_of_other_teams_do_not_count(cast):
    key = make_key(cast.search)[0]
    limit_for_now(cast, cast.support, requests_per_minute=1)
    now = timezone.now()
    assert [reserve_at(key, now)["decision"] for _ in range(2)] == ["allow", "allow"]


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        ({"requests_per_minute": "many"}, "Calls a minute: Give a whole number from 1"),
        ({"requests_per_minute": ""}, "Give at least one limit"),
        ({"requests_per_minute": "0"}, "This must be at least 1"),
        ({"concurrency": "-3"}, "Calls at once: Give a whole number from 1"),
        ({"tokens_per_minute": "9" * 30}, "Tokens a minute: Give a whole number from 1"),
        ({"requests_per_minute": "9999999999"}, "Calls a minute: Ensure this value is less than or equal"),
    ],
    ids=["words", "nothing", "zero", "negative", "huge", "too large to count"],
)
def test_an_amount_that_makes_no_sense_is_refused_by_name(client, cast, incident, amounts, said):
    client.force_login(cast.olu)
    assert said in put(client, incident, **amounts).content.decode()
    assert not Control.objects.exists()
    incident.refresh_from_db()
    assert incident.state == "declared"


def test_a_limit_of_nothing_or_of_another_kinds_field_is_refused(cast):
    for what in (What("rate_limit"), What("breaker", concurrency=3), What("rate_limit", queue_class="batch")):
        with pytest.raises(ValidationError):
            set_control(author=Author(user=cast.olu), where=Where(), what=what, reason="x")


def test_it_is_listed_with_the_rate_limits_and_can_be_ended_there(client, cast, incident):
    client.force_login(cast.olu)
    put(client, incident)
    text = client.get(reverse("rate-limit-list")).content.decode()
    assert "Rate limit of 2 requests/min" in text and "set for now" in text
    client.force_login(cast.stan)
    assert "Rate limit of 2" not in client.get(reverse("rate-limit-list")).content.decode()


def test_it_can_be_set_on_the_page_of_controls(client, cast):
    client.force_login(cast.olu)
    url = reverse("control-set") + "?kind=rate_limit"
    assert "Calls at once" in client.get(url).content.decode()
    data = {"kind": "rate_limit", "team": cast.support.pk, "tokens_per_minute": "9000", "lasts": "60", "reason": "Loop"}
    client.post(url, data)
    assert Control.objects.get().does == "Rate limit of 9,000 tokens/min"


def test_the_watch_panel_shows_the_load_it_holds_down(client, cast, incident):
    now = minute()
    client.force_login(cast.olu)
    token = offers(client, incident, "cost")[0]["token"]
    data = {"token": token, "lasts": "60", "requests_per_minute": "2", "reason": "Loop"}
    client.post(reverse("incident-mitigations", args=[incident.pk]), data)
    move_back(incident, now - timedelta(minutes=12))
    for ago in range(11, 0, -1):
        record(cast.support, now - timedelta(minutes=ago), 1, provider="openai", model="openai-model")
    drain()
    (one,) = watched(incident, timezone.now())
    assert one.verdict.outcome == "helped", one.verdict
    assert one.verdict.text.startswith("Model calls a minute 1")
    assert "Model calls a minute" in page(client, "watch", incident)


def test_that_of_a_drill_stays_in_its_environment(client, cast):
    at = minute()
    record(cast.support, at - timedelta(minutes=5), 60, environment="drill", provider="openai", model="gpt-4o")
    drain()
    facts = {"team": cast.support, "title": "Drill", "severity": 2, "at": at, "is_drill": True}
    incident = declare_incident(author=Author(user=cast.olu), impact_started_at=at - timedelta(minutes=9), **facts)
    client.force_login(cast.olu)
    put(client, incident)
    assert Control.objects.get().environment == "drill"
    key = make_key(cast.support, environment="prod")[0]
    now = timezone.now()
    assert [reserve_at(key, now)["decision"] for _ in range(4)] == ["allow"] * 4
