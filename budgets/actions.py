"""Every write of budgets. A change, its revision and its audit row are one transaction."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import require
from accounts.actions import Author, audit
from accounts.models import Team, User
from budgets.facts import WHAT_IS_COUNTED, Draft, check, facts_of, plain
from budgets.guard.periods import catch_up
from budgets.models import Budget, BudgetRevision, Grant, PendingChange, Threshold
from budgets.rules.approval import Step, baseline, ending_alone, loosenings, needs_second_person


@dataclass(frozen=True)
class Outcome:
    """What an edit led to: the budget as it is now, and the change that waits for a second person, if it does."""

    budget: Budget
    pending: PendingChange | None = None
    why: tuple[str, ...] = ()


def create_budget(*, author: Author, draft: Draft, reason: str = "") -> Budget:
    """A new budget, in force at once. Raises ValidationError when its name is taken in the team."""
    budget = Budget()
    with transaction.atomic():
        draft.put_into(budget)
        _store(budget, draft)
        _revise(budget, "budget.added", author, reason, before=None)
    return budget


def edit_budget(*, author: Author, budget: Budget, base_version: int, draft: Draft, reason: str) -> Outcome:
    """Change a budget, or ask for a second person's approval where the change needs it.

    Raises ValidationError: the budget was edited in between (base_version), no reason, a name that is taken, or a
    change that waits already.
    """
    _require_reason(reason)
    with transaction.atomic():
        budget = _locked(budget, base_version)
        before = facts_of(budget)
        if draft.facts == before:
            return Outcome(budget)
        why = approval_needed(budget, draft, timezone.now())
        if why:
            return Outcome(budget, _ask(budget, draft, author, reason), tuple(why))
        return Outcome(_apply(budget, draft, author, reason, before))


def approval_needed(budget: Budget, draft: Draft, now: datetime) -> list[str]:
    """Why a second person must agree to the change; sentences, empty where one person may make it."""
    before, after = facts_of(budget), draft.facts
    why = loosenings(before, after, WHAT_IS_COUNTED)
    base = _base(budget, after, now)
    if base is not None and needs_second_person(base, draft.limit, budget.approval_share):
        share = plain(budget.approval_share * 100)
        why.append(f"The limit would be more than {share} % above {plain(base)}, what it was or was approved as.")
    return why


def _base(budget: Budget, facts: dict, now: datetime) -> Decimal | None:
    """The limit that increases are measured from; None where the budget never counted what `facts` count."""
    same = [revision for revision in budget.revisions.order_by("version") if _counts_as(revision.facts, facts)]
    return baseline([_step(revision) for revision in same], now) if same else None


def _counts_as(one: dict, other: dict) -> bool:
    return all(one[name] == other[name] for name in WHAT_IS_COUNTED)


def _step(revision: BudgetRevision) -> Step:
    return Step(revision.at, Decimal(revision.facts["limit"]), revision.approved_by_id is not None)


def decide_change(*, author: Author, change: PendingChange, approve: bool, note: str = "") -> Outcome:
    """Approve or refuse a waiting change. Raises ValidationError where it no longer waits or is one's own."""
    decider = _person(author)
    with transaction.atomic():
        change = PendingChange.objects.select_for_update().get(pk=change.pk)
        _require_waiting(change)
        if change.requested_by_id == decider.pk:
            raise ValidationError("Somebody else must decide this: you asked for it.")
        budget = _locked(change.budget, change.base_version if approve else None)
        _close(change, PendingChange.State.APPROVED if approve else PendingChange.State.REFUSED, decider, note)
        if not approve:
            _audit(budget, "budget.change_refused", author, note, before=None, after=change.facts)
            return Outcome(budget)
        if grant := change.facts.get("grant"):
            _grant(budget, grant, change.requested_by, author, change.reason)
            return Outcome(budget)
        if change.facts.get("ended"):
            _set_active(budget, author, change.reason, active=False, approved=change)
            return Outcome(budget)
        _require_reach(decider, "budget.approve", change.facts)
        draft = check(change.facts, teams=_teams_of(change.facts))
        return Outcome(_apply(budget, draft, author, change.reason, facts_of(budget), approved=change))


def withdraw_change(*, author: Author, change: PendingChange) -> None:
    """Take back what one asked for. Raises ValidationError where it no longer waits or is somebody else's."""
    person = _person(author)
    with transaction.atomic():
        change = PendingChange.objects.select_for_update().get(pk=change.pk)
        _require_waiting(change)
        if change.requested_by_id != person.pk:
            raise ValidationError("Only who asked for a change can withdraw it; you can refuse it.")
        _close(change, PendingChange.State.WITHDRAWN, None, "")
        _audit(change.budget, "budget.change_withdrawn", author, "", before=None, after=change.facts)


def undo_edit(*, author: Author, budget: Budget, base_version: int) -> Outcome:
    """Put the budget back to what it was before its last edit; an edit like any other, so it may need approval."""
    last = list(budget.revisions.filter(version__lte=base_version)[:2])
    if len(last) < 2:
        raise ValidationError("There is nothing to undo: the budget is as it was made.")
    return restore(author=author, budget=budget, base_version=base_version, revision=last[1])


def restore(*, author: Author, budget: Budget, base_version: int, revision: BudgetRevision) -> Outcome:
    """Make the budget what it was in an earlier version."""
    if author.user:
        _require_reach(author.user, "budget.edit", revision.facts)
    draft = check(revision.facts, teams=_teams_of(revision.facts))
    reason = f"Back to version {revision.version}"
    return edit_budget(author=author, budget=budget, base_version=base_version, draft=draft, reason=reason)


def archive_budget(*, author: Author, budget: Budget, base_version: int, reason: str) -> Outcome:
    """End a budget, or ask for a second person's approval; it keeps its history and can be taken up again."""
    _require_reason(reason)
    with transaction.atomic():
        budget = _locked(budget, base_version)
        if not budget.is_active:
            raise ValidationError("It has ended already.")
        if not ending_alone(budget.created_at, timezone.now()):
            why = "Without it nothing limits its calls."
            return Outcome(budget, _wait(budget, {"ended": True}, author, reason), (why,))
        _set_active(budget, author, reason, active=False)
    return Outcome(budget)


def revive_budget(*, author: Author, budget: Budget, base_version: int, reason: str) -> Outcome:
    """Take up an ended budget. Raises ValidationError when its name is taken by now."""
    _require_reason(reason)
    with transaction.atomic():
        budget = _locked(budget, base_version)
        if budget.is_active:
            raise ValidationError("It is in force already.")
        _set_active(budget, author, reason, active=True)
        catch_up(budget, timezone.now())
    return Outcome(budget)


def _set_active(
    budget: Budget, author: Author, reason: str, *, active: bool, approved: PendingChange | None = None
) -> None:
    budget.is_active = active
    budget.version += 1
    _save(budget)
    for change in budget.pending_changes.filter(state="waiting"):
        _close(change, PendingChange.State.WITHDRAWN, None, "")
        _audit(budget, "budget.change_withdrawn", author, reason, before=None, after=change.facts)
    action = "budget.revived" if active else "budget.archived"
    _revise(budget, action, author, reason, before=facts_of(budget), approved=approved)


def give_grant(
    *, author: Author, budget: Budget, amount: Decimal, valid_from: datetime, expires_at: datetime, reason: str
) -> Outcome:
    """Add to a budget once. Above its approval share, together with the grants still valid, it waits for approval."""
    _require_reason(reason)
    problems = {}
    if amount <= 0:
        problems["amount"] = "It must be above 0."
    if expires_at <= max(valid_from, timezone.now()):
        problems["expires_at"] = "It must expire after it starts, and not be over."
    if problems:
        raise ValidationError(problems)
    facts = {"amount": plain(amount), "valid_from": valid_from.isoformat(), "expires_at": expires_at.isoformat()}
    with transaction.atomic():
        budget = _locked(budget, None)
        given = budget.grants.filter(revoked_at=None, expires_at__gt=timezone.now()).values_list("amount", flat=True)
        base = _base(budget, facts_of(budget), timezone.now()) or budget.limit
        if needs_second_person(base, budget.limit + sum(given) + amount, budget.approval_share):
            why = f"With this grant it is more than {plain(budget.approval_share * 100)} % above {plain(base)}."
            return Outcome(budget, _wait(budget, {"grant": facts}, author, reason), (why,))
        _grant(budget, facts, author.user, author, reason)
    return Outcome(budget)


def revoke_grant(*, author: Author, grant: Grant, reason: str) -> None:
    """Take a grant back; what was used with its help stays used."""
    _require_reason(reason)
    with transaction.atomic():
        budget = _locked(grant.budget, None)
        if not Grant.objects.filter(pk=grant.pk, revoked_at=None).update(revoked_at=timezone.now()):
            raise ValidationError("It was taken back already.")
        _touch(budget)
        _audit(budget, "budget.grant_revoked", author, reason, before={"amount": plain(grant.amount)}, after=None)


def _grant(budget: Budget, facts: dict, giver: User | None, author: Author, reason: str) -> None:
    Grant.objects.create(
        budget=budget,
        amount=Decimal(facts["amount"]),
        valid_from=datetime.fromisoformat(facts["valid_from"]),
        expires_at=datetime.fromisoformat(facts["expires_at"]),
        reason=reason,
        created_by=giver,
    )
    _touch(budget)
    _audit(budget, "budget.grant_given", author, reason, before=None, after=facts)


def _touch(budget: Budget) -> None:
    """Whoever holds a copy of the budget sees by `updated_at` that its grants changed."""
    budget.save(update_fields=["updated_at"])


def _ask(budget: Budget, draft: Draft, author: Author, reason: str) -> PendingChange:
    if Budget.objects.exclude(pk=budget.pk).filter(team=draft.team, name=draft.name, is_active=True).exists():
        raise ValidationError({"name": "Another budget of this team has this name."})
    return _wait(budget, draft.facts, author, reason)


def _wait(budget: Budget, facts: dict, author: Author, reason: str) -> PendingChange:
    if budget.pending_changes.filter(state="waiting").exists():
        raise ValidationError("A change of this budget waits for approval already. Decide or withdraw that one first.")
    change = PendingChange.objects.create(
        budget=budget,
        base_version=budget.version,
        facts=facts,
        reason=reason,
        requested_by=_person(author),
        requested_at=timezone.now(),
    )
    _audit(budget, "budget.change_requested", author, reason, before=facts_of(budget), after=facts)
    return change


def _apply(
    budget: Budget, draft: Draft, author: Author, reason: str, before: dict, approved: PendingChange | None = None
) -> Budget:
    draft.put_into(budget)
    _store(budget, draft)
    _revise(budget, "budget.edited", author, reason, before=before, approved=approved)
    return budget


def _store(budget: Budget, draft: Draft) -> None:
    if budget.pk:
        budget.version += 1
    _save(budget)
    budget.thresholds.all().delete()
    Threshold.objects.bulk_create([Threshold(budget=budget, **step._asdict()) for step in draft.thresholds])
    getattr(budget, "_prefetched_objects_cache", {}).clear()


def _save(budget: Budget) -> None:
    try:
        with transaction.atomic():
            budget.save()
    except IntegrityError as exc:
        if getattr(getattr(exc.__cause__, "diag", None), "constraint_name", "") != "budget_name_once":
            raise
        raise ValidationError({"name": "Another budget of this team has this name."}) from exc


def _revise(
    budget: Budget,
    action: str,
    author: Author,
    reason: str,
    *,
    before: dict | None,
    approved: PendingChange | None = None,
) -> None:
    """The history names who asked for an approved change, and who approved it; the audit row who did it: the latter."""
    after, actor = facts_of(budget), approved.requested_by if approved else author.user
    BudgetRevision.objects.create(
        budget=budget,
        version=budget.version,
        facts=after,
        reason=reason,
        actor=actor,
        actor_label=("" if approved else author.label) or (actor.email if actor else "system"),
        approved_by=approved.decided_by if approved else None,
        at=timezone.now(),
    )
    _audit(budget, action, author, reason, before=before, after=after)


def _audit(budget: Budget, action: str, author: Author, reason: str, *, before, after) -> None:
    audit(
        action=action,
        target=budget.name,
        team=budget.team,
        before=before,
        after=after,
        reason=reason,
        **author.signature,
    )


def _locked(budget: Budget, base_version: int | None) -> Budget:
    """The budget as it is now, locked. Raises ValidationError where it is no longer the version that was seen."""
    found = Budget.objects.select_for_update(of=("self",)).select_related("team", "owner").get(pk=budget.pk)
    if base_version is not None and found.version != base_version:
        raise ValidationError(
            f"The budget was changed in the meantime (version {found.version}, you saw {base_version})."
            " Look at it again and repeat your change."
        )
    return found


def _close(change: PendingChange, state: str, decider: User | None, note: str) -> None:
    change.state, change.decided_by, change.decided_at, change.decision_note = state, decider, timezone.now(), note
    change.save(update_fields=["state", "decided_by", "decided_at", "decision_note"])


def _require_waiting(change: PendingChange) -> None:
    if change.state != PendingChange.State.WAITING:
        raise ValidationError(f"This change is {change.get_state_display().lower()} already.")


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise ValidationError({"reason": "Say why: the history of the budget shows it."})


def _person(author: Author) -> User:
    if author.user is None:
        raise ValidationError("A change that needs approval must be asked for by a person, not by a key.")
    return author.user


def _require_reach(person: User, capability: str, facts: dict) -> None:
    """Raises MissingRight where the facts would make it the budget of a team in which the person lacks the right."""
    require(person, capability, Team.objects.filter(slug=facts["team"]).first() if facts["team"] else None)


def _teams_of(facts: dict) -> list[Team]:
    return list(Team.objects.filter(slug=facts.get("team", "")))
