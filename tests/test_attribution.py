"""Rules of attribution: new calls and history follow, ending one puts back what was sent, the roll-ups stay exact."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from tests.cast import make_key
from tests.traffic import event, record
from usage.actions import record_events
from usage.attribution.actions import add_rule, end_rule, revive_rule
from usage.attribution.keys import move_history, waiting_rules
from usage.metrics import MetricQuery, query
from usage.models import AttributionRule
from usage.reconcile import reconcile_day
from usage.rollups import drain
from usage.rules.attribution import Assignment, assigned, meets

# Reconciling reads in a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)

AUTHOR = Author(label="test")
NOW = timezone.now()
YESTERDAY = NOW - timedelta(days=1)
LONG_AGO = NOW - timedelta(days=20)


def rule(team=None, **fields) -> AttributionRule:
    return AttributionRule(team=team, **fields)


def spend(*group_by, **filters) -> dict:
    wanted = {name: (value,) for name, value in filters.items()}
    start = NOW - timedelta(days=30)
    result = query(MetricQuery(("cost_usd", "events"), start, NOW + timedelta(hours=1), None, group_by, wanted))
    return {row.key: row.values["events"] for row in result.rows if row.values["events"]}


def differences() -> list:
    days = {(NOW - timedelta(days=number)).date() for number in range(25)}
    return [one for day in days for one in reconcile_day(day, NOW) if one.differing]


# --- Arithmetic -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "value", "met"),
    [
        ("", "x", True),
        ("", "", True),
        ("(none)", "", True),
        ("(none)", "x", False),
        ("*", "", False),
        ("*", "x", True),
        ("chat-*", "chat-web", True),
        ("chat-*", "my-chat-web", False),
        ("a.c", "abc", False),
        ("GPT-4o*", "gpt-4o-mini", True),
    ],
)
def test_a_pattern_is_met(pattern, value, met):
    assert meets(pattern, value) is met


def test_the_first_rule_that_fits_sets_each_field():
    sent = {"feature": "", "service": "shop", "model": "m", "environment": "prod", "cost_center": "CC-1"}
    rules = [
        Assignment(service="other", set_feature="no"),
        Assignment(service="shop", set_feature="basket", set_cost_center="CC-2"),
        Assignment(model="m", set_feature="late", set_cost_center="CC-3", only_untagged=False),
    ]
    assert assigned(rules, sent, None) == ("basket", "CC-3")


def test_what_was_sent_with_a_value_is_left_alone_unless_the_rule_says_so():
    sent = {"feature": "chat", "service": "", "model": "m", "environment": "", "cost_center": ""}
    assert assigned([Assignment(model="m", set_feature="x")], sent, None)[0] == "chat"
    assert assigned([Assignment(model="m", set_feature="x", only_untagged=False)], sent, None)[0] == "x"


# --- History --------------------------------------------------------------------------------------------------------
def test_history_follows_a_rule_and_goes_back_when_it_ends(cast):
    record(cast.support, LONG_AGO, 3, feature=None, tenant="acme")
    record(cast.support, YESTERDAY, 2, feature=None, tenant="acme")
    drain()
    made = rule(cast.support, feature="(none)", model="gpt-4o", set_feature="answers", set_cost_center="CC-9")
    add_rule(author=AUTHOR, rule=made)
    drain()
    assert spend("feature", "cost_center") == {("answers", "CC-9"): 5}
    assert spend("tenant", "feature") == {("acme", "answers"): 5}
    assert differences() == []
    end_rule(author=AUTHOR, rule=made)
    drain()
    assert spend("feature", "cost_center", "tenant") == {("", "", "acme"): 5}
    assert differences() == []


def test_new_calls_follow_a_rule_also_in_series_nobody_sent_before(cast):
    add_rule(author=AUTHOR, rule=rule(None, service="shop*", set_feature="basket"))
    record(cast.support, YESTERDAY, 2, feature=None, service="shop-eu", tenant="acme")
    record(cast.search, YESTERDAY, 1, feature=None, service="blog", tenant="acme")
    drain()
    assert spend("feature") == {("basket",): 2, ("",): 1}
    assert spend("feature", "tenant") == {("basket", "acme"): 2, ("", "acme"): 1}
    assert differences() == []


def test_a_rule_by_service_tells_apart_figures_by_tenant_too(cast):
    for service in ("shop", "blog"):
        record(cast.support, YESTERDAY, 2, feature=None, service=service, tenant="acme")
        record(cast.support, LONG_AGO, 1, feature=None, service=service, tenant="acme")
    drain()
    made = rule(cast.support, service="shop", set_feature="basket")
    add_rule(author=AUTHOR, rule=made)
    drain()
    assert spend("feature", "tenant") == {("basket", "acme"): 3, ("", "acme"): 3}
    assert differences() == []
    end_rule(author=AUTHOR, rule=made)
    drain()
    assert spend("feature", "tenant") == {("", "acme"): 6}
    revive_rule(author=AUTHOR, rule=made)
    drain()
    assert spend("feature", "tenant") == {("basket", "acme"): 3, ("", "acme"): 3}
    assert differences() == []


def test_a_rule_by_key_moves_that_key_s_calls_only(cast):
    key, _ = make_key(cast.support)
    other, _ = make_key(cast.support)

    def send(at, api_key):
        events = [event(at, feature=None, tenant="acme")]
        assert record_events(team=cast.support, environment="", api_key_id=api_key.pk, events=events).accepted == 1

    for at in (YESTERDAY, LONG_AGO):
        send(at, key)
        send(at, other)
    drain()
    made = rule(cast.support, api_key=key, set_cost_center="CC-5")
    add_rule(author=AUTHOR, rule=made)
    send(YESTERDAY + timedelta(minutes=3), key)
    send(YESTERDAY + timedelta(minutes=3), other)
    assert move_history(made, NOW) == 2
    assert move_history(made, NOW) == 0
    drain()
    assert spend("cost_center") == {("CC-5",): 3, ("",): 3}
    assert spend("cost_center", "tenant") == {("CC-5", "acme"): 3, ("", "acme"): 3}
    assert differences() == []
    end_rule(author=AUTHOR, rule=made)
    drain()
    assert spend("cost_center", "tenant") == {("", "acme"): 6}
    assert differences() == []


def test_history_of_a_key_waits_until_ingest_under_way_is_through(cast):
    key, _ = make_key(cast.support)
    add_rule(author=AUTHOR, rule=rule(cast.support, api_key=key, set_cost_center="CC-5"))
    assert waiting_rules(timezone.now()) == []
    assert len(waiting_rules(timezone.now() + timedelta(minutes=2))) == 1


def test_spend_is_the_same_before_and_after(cast):
    for number, feature in enumerate((None, "answers", "search")):
        record(cast.support, YESTERDAY, number + 1, feature=feature, input_tokens=1_001 + number)
    drain()
    whole = MetricQuery(("cost_usd",), NOW - timedelta(days=2), NOW + timedelta(hours=1))
    before: Decimal = query(whole).value("cost_usd")
    add_rule(author=AUTHOR, rule=rule(None, model="*", set_feature="all", only_untagged=False))
    assert query(whole).value("cost_usd") == before
    assert spend("feature") == {("all",): 6}


def test_each_step_is_audited(cast):
    made = rule(cast.support, feature="(none)", set_feature="x")
    add_rule(author=Author(user=cast.fatima), rule=made)
    end_rule(author=Author(user=cast.fatima), rule=made)
    actions = AuditEntry.objects.filter(action__startswith="attribution.").values_list("action", "actor__email")
    assert list(actions.order_by("id")) == [
        ("attribution.added", "fatima@desk.example"),
        ("attribution.ended", "fatima@desk.example"),
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"feature": "x"}, "set_feature"),
        ({"set_feature": "x"}, "feature"),
        ({"service": "(none)", "set_feature": "x"}, "service"),
    ],
    ids=["nothing set", "no condition", "service none"],
)
def test_a_rule_that_means_nothing_is_refused(cast, fields, field):
    with pytest.raises(ValidationError) as refused:
        add_rule(author=AUTHOR, rule=rule(None, **fields))
    assert field in refused.value.message_dict
    assert AttributionRule.objects.count() == 0


def test_a_series_made_while_a_rule_is_added_gets_it(cast):
    """Eight senders make new series all the time while rules come: none of them is left without its rule."""

    def send(worker: int) -> None:
        for number in range(15):
            record(cast.support, YESTERDAY, 1, feature=None, service=f"s{worker}-{number}", tenant="acme")
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        senders = [pool.submit(send, worker) for worker in range(8)]
        add_rule(author=AUTHOR, rule=rule(cast.support, service="s*", set_feature="found"))
        add_rule(author=AUTHOR, rule=rule(None, model="*", set_cost_center="CC-1"))
        for sender in senders:
            sender.result()
    drain()
    assert spend("feature", "cost_center") == {("found", "CC-1"): 120}
    assert spend("feature", "tenant") == {("found", "acme"): 120}
    assert differences() == []
