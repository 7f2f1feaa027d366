"""Keeping rotas and escalation policies: each change with its audit row."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.actions import Author, audit
from accounts.models import Team, User
from accounts.rules import random_text
from incidents.models import EscalationPolicy, EscalationStep, Rota, RotaMember, RotaOverride

LONGEST_COVER = timedelta(days=90)


@dataclass(frozen=True)
class RotaFacts:
    """What a rota says; `members` in the order of their turns."""

    team: Team | None
    name: str
    level: int
    days: int
    handover_at: time
    zone: str
    starts_on: date
    members: Sequence[User]


@dataclass(frozen=True)
class StepFacts:
    """Whom a step pages (one of the two) and for how many minutes it waits."""

    rota: Rota | None
    user: User | None
    minutes: int


def save_rota(*, author: Author, rota: Rota | None, facts: RotaFacts) -> Rota:
    """Make or change a rota. Raises ValidationError by field: no members, a name that the team has already."""
    if not facts.members:
        raise ValidationError({"members": "Name at least one person."})
    try:
        with transaction.atomic():
            kept = Rota.objects.select_for_update(of=("self",)).get(pk=rota.pk) if rota else Rota()
            before = facts_of(kept) if rota else None
            for name in ("team", "name", "level", "days", "handover_at", "zone", "starts_on"):
                setattr(kept, name, getattr(facts, name))
            kept.save()
            kept.members.all().delete()
            places = enumerate(facts.members, 1)
            RotaMember.objects.bulk_create(RotaMember(rota=kept, user=user, position=n) for n, user in places)
            _audit(author, kept, "rota.edited" if rota else "rota.added", before=before, after=facts_of(kept))
    except IntegrityError:
        raise ValidationError({"name": "The team has a rota of this name."}) from None
    return kept


def facts_of(rota: Rota) -> dict[str, object]:
    """What a rota says, for the audit log."""
    found: dict[str, object] = {name: getattr(rota, name) for name in ("name", "level", "days", "zone")}
    people = list(rota.members.values_list("user__email", flat=True))
    return found | {"handover_at": str(rota.handover_at), "starts_on": str(rota.starts_on), "members": people}


def remove_rota(*, author: Author, rota: Rota) -> None:
    """Remove it. Raises ValidationError while an escalation pages it."""
    with transaction.atomic():
        if EscalationStep.objects.filter(rota=rota).exists():
            raise ValidationError("An escalation policy pages this rota. Take it out there first.")
        _audit(author, rota, "rota.removed", before=facts_of(rota))
        rota.delete()


def add_override(
    *, author: Author, rota: Rota, user: User, starts_at: datetime, ends_at: datetime, reason: str = ""
) -> RotaOverride:
    """Have someone cover a span. Raises ValidationError by field where it ends before it begins, or lasts too long."""
    if ends_at <= starts_at:
        raise ValidationError({"ends_at": "It must end after it begins."})
    if ends_at - starts_at > LONGEST_COVER:
        raise ValidationError({"ends_at": "At most 90 days; change the members of the rota instead."})
    with transaction.atomic():
        span = {"starts_at": starts_at, "ends_at": ends_at}
        made = RotaOverride.objects.create(rota=rota, user=user, reason=reason, created_by=author.user, **span)
        after = {"who": user.email, "from": starts_at.isoformat(), "to": ends_at.isoformat()}
        _audit(author, rota, "rota.override_added", after=after, reason=reason)
    return made


def remove_override(*, author: Author, override: RotaOverride) -> None:
    with transaction.atomic():
        before = {"who": override.user.email, "from": override.starts_at.isoformat()}
        _audit(author, override.rota, "rota.override_removed", before=before)
        override.delete()


def leave_note(*, author: Author, rota: Rota, text: str, at: datetime) -> None:
    """The hand-over note, for whoever comes next; the one before stays in the audit log."""
    with transaction.atomic():
        kept = Rota.objects.select_for_update(of=("self",)).get(pk=rota.pk)
        before = kept.handover_note
        kept.handover_note, kept.noted_at, kept.noted_by = text, at, author.user
        kept.save(update_fields=["handover_note", "noted_at", "noted_by"])
        _audit(author, kept, "rota.note", before={"note": before}, after={"note": text})


def new_calendar(*, author: Author, rota: Rota) -> str:
    """A new secret for the address of the rota's feed; the one before ends at once. It is readable only here."""
    token = random_text(40)
    with transaction.atomic():
        Rota.objects.filter(pk=rota.pk).update(calendar_digest=token_digest(token))
        _audit(author, rota, "rota.calendar_renewed")
    return token


def token_digest(token: str) -> bytes:
    """SHA-256; fast, as the token is random."""
    return hashlib.sha256(token.encode()).digest()


def save_policy(*, author: Author, team: Team | None, rounds: int, steps: Sequence[StepFacts]) -> EscalationPolicy:
    """The team's policy (None: for every team without its own) is these steps. Raises ValidationError without any."""
    if not steps:
        raise ValidationError("Name at least one step.")
    with transaction.atomic():
        policy, made = EscalationPolicy.objects.select_for_update().get_or_create(
            team=team, defaults={"rounds": rounds}
        )
        before = None if made else policy_facts(policy)
        policy.rounds = rounds
        policy.save()
        policy.steps.all().delete()
        places = enumerate(steps, 1)
        EscalationStep.objects.bulk_create(EscalationStep(policy=policy, position=n, **vars(s)) for n, s in places)
        after = policy_facts(policy)
        audit(**author.signature, action="escalation.edited", target=policy, team=team, before=before, after=after)
    return policy


def remove_policy(*, author: Author, policy: EscalationPolicy) -> None:
    """Pages of the team climb by the policy for every team again, or not at all."""
    with transaction.atomic():
        before = policy_facts(policy)
        audit(**author.signature, action="escalation.removed", target=policy, team=policy.team, before=before)
        policy.delete()


def policy_facts(policy: EscalationPolicy) -> dict[str, object]:
    steps = [f"{one.rota or one.user}: {one.minutes} min" for one in policy.steps.select_related("rota", "user")]
    return {"rounds": policy.rounds, "steps": steps}


def _audit(author: Author, rota: Rota, action: str, **facts) -> None:
    audit(**author.signature, action=action, target=rota, team=rota.team, **facts)
