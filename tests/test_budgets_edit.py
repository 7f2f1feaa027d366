"""Editing budgets: who may alone, what waits for a second person, history, undo, grants."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.access import MissingRight
from accounts.actions import Author
from accounts.models import AuditEntry, Role
from budgets.actions import (
    archive_budget,
    create_budget,
    decide_change,
    edit_budget,
    give_grant,
    restore,
    revive_budget,
    revoke_grant,
    undo_edit,
    withdraw_change,
)
from budgets.facts import check, facts_of
from budgets.models import Budget, BudgetRevision
from tests.cast import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def fatima(cast) -> Author:
    return Author(user=cast.fatima)


@pytest.fixture
def second(cast) -> Author:
    return Author(user=make_user("felix", Role.FINANCE))


def draft(cast, **more):
    return check({"name": "Support, monthly", "team": "support", "limit": "1000"} | more, teams=[cast.support])


@pytest.fixture
def budget(cast, fatima) -> Budget:
    return create_budget(author=fatima, draft=draft(cast))


def edited(budget, author, cast, reason="More traffic", **more):
    budget.refresh_from_db()
    return edit_budget(
        author=author, budget=budget, base_version=budget.version, draft=draft(cast, **more), reason=reason
    )


def test_a_new_budget_has_the_default_thresholds_a_revision_and_an_audit_row(budget):
    assert [(row.percent, row.action) for row in budget.thresholds.all()] == [
        (70, "notify"),
        (85, "notify"),
        (100, "notify"),
    ]
    assert budget.revisions.get().facts == facts_of(budget)
    assert AuditEntry.objects.get(action="budget.added").after["limit"] == "1000"


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("limit", "0", "above 0"),
        ("limit", "1_000", "number"),
        ("limit", "NaN", "number"),
        ("limit", "0.0000000000001", "12 places"),
        ("period", "year", "one of"),
        ("time_zone", "Mars/Olympus", "IANA"),
        ("anchor", "29", "1 to 28"),
        ("team", "search", "no team"),
        ("owner", "nobody@desk.example", "Nobody"),
        ("rollover_share", "1.5", "0 to 1"),
        ("thresholds", [{"percent": "70", "action": "explode"}], "one of"),
        ("thresholds", [{"percent": "70", "action": "notify"}] * 2, "twice"),
        ("limits", "5", "no such field"),
    ],
)
def test_a_bad_fact_is_refused_by_name(cast, field, value, part):
    with pytest.raises(ValidationError) as caught:
        draft(cast, **{field: value})
    assert part in caught.value.message_dict[field][0]


def test_tokens_are_whole_numbers(cast):
    with pytest.raises(ValidationError, match="whole"):
        draft(cast, unit="tokens", limit="10.5")


def test_a_name_is_taken_once_per_team_while_in_force(cast, fatima, budget):
    with pytest.raises(ValidationError, match="has this name"):
        create_budget(author=fatima, draft=draft(cast))
    archive_budget(author=fatima, budget=budget, base_version=1, reason="Project over")
    create_budget(author=fatima, draft=draft(cast))
    with pytest.raises(ValidationError, match="has this name"):
        revive_budget(author=fatima, budget=budget, base_version=2, reason="Back")


def test_a_small_increase_is_in_force_at_once(cast, fatima, budget):
    outcome = edited(budget, fatima, cast, limit="1200")
    assert (outcome.pending, outcome.budget.limit, outcome.budget.version) == (None, 1200, 2)


def test_an_increase_above_the_share_waits_and_changes_nothing(cast, fatima, budget):
    outcome = edited(budget, fatima, cast, limit="1200.000000000001")
    budget.refresh_from_db()
    assert (budget.limit, budget.version, outcome.pending.state) == (1000, 1, "waiting")
    assert "20 % above 1000" in outcome.why[0]


def test_small_steps_do_not_add_up_to_a_large_one(cast, fatima, budget):
    edited(budget, fatima, cast, limit="1150")
    assert edited(budget, fatima, cast, limit="1300").pending


def test_steps_of_different_months_are_measured_apart(cast, fatima, budget):
    edited(budget, fatima, cast, limit="1150")
    BudgetRevision.objects.update(at=timezone.now() - timedelta(days=31))
    assert edited(budget, fatima, cast, limit="1300").pending is None


@pytest.mark.parametrize(
    "more",
    [
        {"feature": "chat"},
        {"period": "week"},
        {"unit": "tokens"},
        {"approval_share": "0.5"},
        {"rollover_share": "1"},
    ],
)
def test_what_loosens_a_budget_otherwise_waits_too(cast, fatima, budget, more):
    assert edited(budget, fatima, cast, **more).pending


BLOCK = [{"percent": "90", "action": "block"}]


@pytest.mark.parametrize(
    ("thresholds", "waits"),
    [
        ([], True),
        ([{"percent": "1000", "action": "block"}], True),
        ([{"percent": "90", "action": "block", "before": "50"}], True),
        ([{"percent": "90", "action": "conserve"}], True),
        ([{"percent": "80", "action": "block"}], False),
        ([*BLOCK, {"percent": "70", "action": "notify"}], False),
    ],
    ids=["gone", "later", "for a time only", "milder", "earlier", "beside another"],
)
def test_a_block_neither_goes_nor_comes_later_alone(cast, fatima, thresholds, waits):
    budget = create_budget(author=fatima, draft=draft(cast, thresholds=BLOCK))
    assert bool(edited(budget, fatima, cast, thresholds=thresholds).pending) is waits


def test_what_fails_closed_cannot_be_made_to_fail_open_alone(cast, fatima, budget):
    assert edited(budget, fatima, cast, on_failure="closed").pending is None
    assert edited(budget, fatima, cast, on_failure="open").pending


def test_ending_a_budget_takes_two_or_anyone_could_make_it_anew_with_another_limit(cast, fatima, second, budget):
    Budget.objects.update(created_at=timezone.now() - timedelta(days=2))
    outcome = archive_budget(author=fatima, budget=budget, base_version=1, reason="Project over")
    with pytest.raises(ValidationError, match="has this name"):
        create_budget(author=fatima, draft=draft(cast, limit="100000"))
    ended = decide_change(author=second, change=outcome.pending, approve=True).budget
    assert (ended.is_active, ended.revisions.first().approved_by) == (False, second.user)
    assert AuditEntry.objects.filter(action="budget.archived", actor=second.user).exists()


def test_taking_up_or_ending_withdraws_what_waits_and_says_so(cast, fatima, budget):
    edited(budget, fatima, cast, limit="5000")
    archive_budget(author=fatima, budget=budget, base_version=1, reason="A mistake")
    assert AuditEntry.objects.filter(action="budget.change_withdrawn").count() == 1


def test_going_back_to_another_teams_version_takes_the_right_there(cast, budget):
    moved = draft(cast, feature="chat")
    moved.put_into(budget)
    budget.team = cast.search
    budget.save()
    with pytest.raises(MissingRight):
        restore(
            author=Author(user=cast.stan), budget=budget, base_version=budget.version, revision=budget.revisions.get()
        )


def test_a_hard_limit_cannot_be_made_soft_alone(cast, fatima, budget):
    assert edited(budget, fatima, cast, enforcement="hard").pending is None
    assert edited(budget, fatima, cast, enforcement="soft").pending


def test_nobody_approves_their_own_change(cast, fatima, budget):
    change = edited(budget, fatima, cast, limit="5000").pending
    with pytest.raises(ValidationError, match="Somebody else"):
        decide_change(author=fatima, change=change, approve=True)


def test_an_approved_change_is_in_force_and_is_the_new_base(cast, fatima, second, budget):
    change = edited(budget, fatima, cast, limit="5000").pending
    outcome = decide_change(author=second, change=change, approve=True, note="Agreed in the review")
    assert (outcome.budget.limit, outcome.budget.version) == (5000, 2)
    last = outcome.budget.revisions.first()
    assert (last.actor, last.actor_label, last.approved_by) == (fatima.user, fatima.user.email, second.user)
    assert AuditEntry.objects.filter(action="budget.edited", actor=second.user).exists()
    assert edited(budget, fatima, cast, limit="5900").pending is None
    with pytest.raises(ValidationError, match="approved already"):
        decide_change(author=second, change=change, approve=True)


def test_a_refused_change_changes_nothing(cast, fatima, second, budget):
    change = edited(budget, fatima, cast, limit="5000").pending
    assert decide_change(author=second, change=change, approve=False, note="Too much").budget.limit == 1000
    assert AuditEntry.objects.get(action="budget.change_refused").reason == "Too much"


def test_an_approval_of_an_older_version_is_refused(cast, fatima, second, budget):
    change = edited(budget, fatima, cast, limit="5000").pending
    edited(budget, fatima, cast, note="Moved to the new cost centre")
    with pytest.raises(ValidationError, match="in the meantime"):
        decide_change(author=second, change=change, approve=True)
    decide_change(author=second, change=change, approve=False)


def test_a_second_change_waits_its_turn(cast, fatima, second, budget):
    change = edited(budget, fatima, cast, limit="5000").pending
    with pytest.raises(ValidationError, match="waits for approval already"):
        edited(budget, second, cast, limit="6000")
    with pytest.raises(ValidationError, match="Only who asked"):
        withdraw_change(author=second, change=change)
    withdraw_change(author=fatima, change=change)
    assert edited(budget, second, cast, limit="6000").pending


def test_an_edit_of_an_old_version_is_refused(cast, fatima, budget):
    edited(budget, fatima, cast, limit="1100")
    with pytest.raises(ValidationError, match="version 2, you saw 1"):
        edit_budget(author=fatima, budget=budget, base_version=1, draft=draft(cast, limit="900"), reason="Less")


def test_an_edit_needs_a_reason(cast, fatima, budget):
    with pytest.raises(ValidationError, match="Say why"):
        edited(budget, fatima, cast, reason=" ", limit="900")


def test_an_edit_that_changes_nothing_makes_no_version(cast, fatima, budget):
    assert edited(budget, fatima, cast).budget.version == 1


def test_undo_puts_back_what_was(cast, fatima, budget):
    first = facts_of(budget)
    edited(budget, fatima, cast, limit="1100", thresholds=[{"percent": "90", "action": "block"}])
    edited(budget, fatima, cast, limit="1100", thresholds=[{"percent": "90", "action": "block"}], note="x")
    budget.refresh_from_db()
    undo_edit(author=fatima, budget=budget, base_version=3)
    budget.refresh_from_db()
    assert (budget.note, budget.limit, budget.version) == ("", 1100, 4)
    archive = budget.revisions.get(version=1)
    assert archive.facts == first


def test_undo_of_a_decrease_is_an_increase_and_may_wait(cast, fatima, budget):
    BudgetRevision.objects.update(at=timezone.now() - timedelta(days=60))
    edited(budget, fatima, cast, limit="500")
    BudgetRevision.objects.filter(version=2).update(at=timezone.now() - timedelta(days=40))
    budget.refresh_from_db()
    assert undo_edit(author=fatima, budget=budget, base_version=2).pending


def grant(budget, author, amount, **more):
    now = timezone.now()
    values = {"valid_from": now, "expires_at": now + timedelta(days=7), "reason": "Launch"} | more
    return give_grant(author=author, budget=budget, amount=Decimal(amount), **values)


def test_a_small_grant_is_given_at_once_and_can_be_taken_back(fatima, budget):
    grant(budget, fatima, "150")
    given = budget.grants.get()
    revoke_grant(author=fatima, grant=given, reason="Launch is off")
    given.refresh_from_db()
    assert given.revoked_at
    with pytest.raises(ValidationError, match="taken back already"):
        revoke_grant(author=fatima, grant=given, reason="again")


def test_grants_add_up_to_what_needs_a_second_person(fatima, second, budget):
    grant(budget, fatima, "150")
    outcome = grant(budget, fatima, "60")
    assert outcome.pending and budget.grants.count() == 1
    decide_change(author=second, change=outcome.pending, approve=True)
    assert sorted(one.amount for one in budget.grants.all()) == [60, 150]


def test_a_grant_must_not_be_over_or_negative(fatima, budget):
    with pytest.raises(ValidationError) as caught:
        grant(budget, fatima, "-1", expires_at=timezone.now() - timedelta(days=1))
    assert set(caught.value.message_dict) == {"amount", "expires_at"}


def test_an_increase_and_a_grant_do_not_add_up_to_more_than_the_share(cast, fatima, budget):
    edited(budget, fatima, cast, limit="1150")
    assert grant(budget, fatima, "60").pending
