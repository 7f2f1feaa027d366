"""Controls and mode policies: who may set them, what is refused, that all of it is history, and its pages."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions import raise_alert
from incidents.controls import InForceAlready, What, Where, end_control, extend_control, in_force, set_control
from incidents.models import Control, ModePolicy
from incidents.policies import save_policy
from tests.cast import bearer
from usage.models import ChangeMarker

pytestmark = pytest.mark.django_db


def put(cast, **more) -> Control:
    values = {"where": Where(team=cast.support), "what": What("mode", mode="conserve"), "reason": "Spend doubled"}
    return set_control(author=Author(user=cast.olu), **values | more)


def test_setting_one_leaves_an_audit_row_and_a_marker_on_the_charts(cast):
    control = put(cast)
    entry = AuditEntry.objects.get(action="control.set")
    assert (entry.actor, entry.team, entry.reason, entry.after["mode"]) == (
        cast.olu,
        cast.support,
        "Spend doubled",
        "conserve",
    )
    marker = ChangeMarker.objects.get()
    assert (marker.kind, marker.team, marker.title) == ("policy", cast.support, "Conserve mode: Support AI")
    assert list(in_force(timezone.now())) == [control]


def test_one_ends_by_hand_once(cast):
    control = put(cast)
    end_control(author=Author(user=cast.mia), control=control, reason="Fixed")
    assert not in_force(timezone.now()).exists()
    control.refresh_from_db()
    assert (control.ended_by, control.ended_reason) == (cast.mia, "Fixed")
    with pytest.raises(ValidationError, match="not in force"):
        end_control(author=Author(user=cast.mia), control=control, reason="again")


def test_one_expires_without_any_worker(cast):
    now = timezone.now()
    put(cast, expires_at=now + timedelta(minutes=15))
    assert in_force(now + timedelta(minutes=14)).exists()
    assert not in_force(now + timedelta(minutes=15)).exists()


def test_the_end_can_be_moved(cast):
    control = put(cast, expires_at=timezone.now() + timedelta(minutes=15))
    extend_control(author=Author(user=cast.olu), control=control, expires_at=timezone.now() + timedelta(hours=2))
    assert in_force(timezone.now() + timedelta(hours=1)).exists()
    assert AuditEntry.objects.get(action="control.extended").before["expires_at"] == control.expires_at.isoformat()


@pytest.mark.parametrize(
    ("more", "lasts", "told"),
    [
        ({}, "15", "lasts longer than that"),
        ({}, "7", "valid choice"),
        ({"expires_at": None}, "60", "lasts longer than that"),
        ({"origin": Control.Origin.THRESHOLD, "origin_key": "budget:1:85"}, "1440", "ends it by itself"),
    ],
)
def test_an_end_is_moved_back_only_and_only_by_who_set_it(client, cast, more, lasts, told):
    control = put(cast, **{"expires_at": timezone.now() + timedelta(hours=1)} | more)
    client.force_login(cast.olu)
    answer = client.post(reverse("control-extend", args=[control.pk]), {"lasts": lasts}, follow=True)
    assert told in answer.content.decode()
    assert Control.objects.get().expires_at == control.expires_at


def test_an_operator_extends_one_on_the_page_and_nobody_else_does(client, cast):
    control = put(cast, expires_at=timezone.now() + timedelta(minutes=15))
    address = reverse("control-extend", args=[control.pk])
    refused = {}
    for person in (cast.vera, cast.stan):
        client.force_login(person)
        refused[person.first_name] = client.post(address, {"lasts": ""}).status_code
    assert refused == {"Vera": 403, "Stan": 404}
    client.force_login(cast.olu)
    assert address in client.get(reverse("control-list")).content.decode()
    client.post(address, {"lasts": ""})
    assert Control.objects.get().expires_at is None
    assert address not in client.get(reverse("control-list")).content.decode()


def test_the_same_is_set_once_and_the_second_is_told_of_the_first(client, cast):
    put(cast)
    with pytest.raises(InForceAlready, match="set just now by Olu"):
        put(cast, origin=Control.Origin.INCIDENT, origin_key="incident:1")
    put(cast, what=What("mode", mode="emergency"))
    put(cast, where=Where(team=cast.support, feature="chat"))
    put(cast, origin=Control.Origin.THRESHOLD, origin_key="budget:1:85")  # comes and goes with its budget
    end_control(author=Author(user=cast.olu), control=Control.objects.last(), reason="Fixed")
    put(cast)
    assert Control.objects.count() == 5


def test_one_that_ended_or_expired_can_be_set_again(cast):
    now = timezone.now()
    put(cast, at=now - timedelta(hours=2), expires_at=now - timedelta(hours=1))
    put(cast)
    assert in_force(now + timedelta(minutes=1)).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_double_click_and_people_at_once_set_it_once(cast):
    def click(_) -> int:
        try:
            one = Client()
            one.force_login(cast.olu)
            return one.post(reverse("control-set"), form(team=cast.support.pk)).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(click, range(12))) == {302}
    assert Control.objects.count() == 1
    assert ChangeMarker.objects.count() == AuditEntry.objects.filter(action="control.set").count() == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"reason": " "}, "reason"),
        ({"what": What("mode")}, "mode"),
        ({"what": What("mode", mode="panic")}, "mode"),
        ({"what": What("teleport")}, "kind"),
        ({"what": What("failover")}, "failover_order"),
        ({"what": What("throttle", queue_class="fast", requests_per_minute=1)}, "queue_class"),
        ({"what": What("throttle", queue_class="batch")}, "requests_per_minute"),
        ({"what": What("breaker", tool_name="web_search")}, "tool_name"),
        ({"what": What("breaker", mode="conserve")}, "mode"),
        ({"expires_at": "past"}, "expires_at"),
    ],
)
def test_a_control_that_makes_no_sense_is_refused_by_field(cast, more, field):
    if more.get("expires_at"):
        more = {"expires_at": timezone.now() - timedelta(seconds=1)}
    with pytest.raises(ValidationError) as caught:
        put(cast, **more)
    assert field in caught.value.message_dict
    assert not Control.objects.exists() and not ChangeMarker.objects.exists()


def form(**more) -> dict:
    return {"kind": "kill_switch", "team": "", "tool_name": "web_search", "lasts": "60", "reason": "Leaks"} | more


def test_an_operator_sets_and_ends_one_on_the_page(client, cast):
    client.force_login(cast.olu)
    client.post(reverse("control-set"), form(team=cast.support.pk))
    control = Control.objects.get()
    assert (control.does, control.team) == ("Kill switch of web_search", cast.support)
    assert control.expires_at - control.created_at > timedelta(minutes=59)
    assert "web_search" in client.get(reverse("control-list")).content.decode()
    client.post(reverse("control-end", args=[control.pk]), {"reason": "Patched"})
    control.refresh_from_db()
    assert control.ended_reason == "Patched"


def test_who_may_only_look_cannot_set_or_end(client, cast):
    control = put(cast)
    client.force_login(cast.vera)
    assert client.get(reverse("control-set")).status_code == 403
    assert client.post(reverse("control-end", args=[control.pk]), {"reason": "x"}).status_code == 403


def test_a_team_operator_cannot_reach_other_teams_or_all(client, cast):
    control = put(cast)
    client.force_login(cast.olu)
    client.post(reverse("control-set"), form(team=cast.search.pk))
    client.post(reverse("control-set"), form(team=""))
    assert Control.objects.count() == 1
    client.force_login(cast.stan)
    assert client.post(reverse("control-end", args=[control.pk]), {"reason": "x"}).status_code == 404
    assert "Spend doubled" not in client.get(reverse("control-list")).content.decode()


def test_a_control_over_all_teams_is_seen_by_every_team(client, cast):
    put(cast, where=Where(), reason="Provider is down")
    client.force_login(cast.stan)
    assert "Provider is down" in client.get(reverse("control-list")).content.decode()


def policy_form(cast, **more) -> dict:
    return {"team": cast.support.pk, "feature": "chat", "mode": "conserve", "model_map": "gpt-4o = gpt-4o-mini"} | more


def test_a_policy_is_made_changed_and_removed_with_audit(client, cast):
    client.force_login(cast.mia)
    client.post(reverse("policy-add"), policy_form(cast, max_output_tokens="300", tools_off="web_search, sql"))
    policy = ModePolicy.objects.get()
    assert (policy.model_map, policy.tools_off) == ({"gpt-4o": "gpt-4o-mini"}, ["web_search", "sql"])
    page = client.get(reverse("policy-edit", args=[policy.pk])).content.decode()
    assert "gpt-4o = gpt-4o-mini" in page
    client.post(reverse("policy-edit", args=[policy.pk]), policy_form(cast, max_output_tokens="200"))
    policy.refresh_from_db()
    assert (policy.max_output_tokens, policy.tools_off) == (200, [])
    client.post(reverse("policy-remove", args=[policy.pk]))
    actions = AuditEntry.objects.filter(action__startswith="policy").values_list("action", flat=True)
    assert list(actions) == ["policy.removed", "policy.changed", "policy.added"]


@pytest.mark.parametrize(
    ("more", "part"),
    [({"model_map": "gpt-4o"}, "should read"), ({"model_map": ""}, "at least one"), ({"top_k": "0"}, "greater than")],
)
def test_a_policy_that_says_nothing_or_nonsense_is_refused(client, cast, more, part):
    client.force_login(cast.mia)
    assert part in client.post(reverse("policy-add"), policy_form(cast, **more)).content.decode()
    assert not ModePolicy.objects.exists()


def test_the_default_of_everybody_is_there_once(cast):
    author, values = Author(user=cast.ada), dict.fromkeys(("max_output_tokens", "max_context_tokens"))
    values |= {"top_k": 3, "model_map": {}, "tools_off": []}
    for _ in range(2):
        save_policy(author=author, team=None, feature="", mode="conserve", values=values)
    assert ModePolicy.objects.count() == 1


def test_alerts_of_another_team_are_not_listed(client, cast):
    facts = {"severity": "warning", "route": "ticket", "runbook": "cost-spike#detection", "at": timezone.now()}
    raise_alert(source_kind="budget", source_key="1", team=cast.support, title="Support is at 85 %", **facts)
    raise_alert(source_kind="budget", source_key="2", team=None, title="All of us are at 85 %", **facts)
    shown = {}
    for person in (cast.stan, cast.vera, cast.emil):
        client.force_login(person)
        page = client.get(reverse("alert-list")).content.decode()
        shown[person.first_name] = ("Support is at" in page, "All of us" in page)
    assert shown == {"Stan": (False, False), "Vera": (True, False), "Emil": (True, True)}


def test_the_api_lists_what_is_in_force_for_the_keys_team_only(client, cast, support_key):
    put(cast)
    put(cast, where=Where(), what=What("failover", failover_order=["azure", "openai"]))
    put(cast, where=Where(team=cast.search))
    answer = client.get(reverse("api-controls"), headers=bearer(support_key)).json()
    assert [one["does"] for one in answer] == ["Failover to azure, openai", "Conserve mode"]
    assert answer[1]["facts"]["team"] == "support"


def test_every_page_says_what_is_in_force_and_what_fires(client, cast):
    client.force_login(cast.vera)
    assert "Conserve mode: Support AI" not in client.get(reverse("change-list")).content.decode()
    put(cast)
    page = client.get(reverse("spend")).content.decode()
    assert "Conserve mode: Support AI" in page and "firing" not in page
