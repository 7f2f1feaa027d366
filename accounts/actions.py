"""Every write of the accounts room. A change and its audit row are one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiKey, AuditEntry, Membership, Role, Scope, Team, User
from accounts.rules import key_text, new_key, random_text, secret_digest

LAST_USED_STEP = timedelta(minutes=1)


@dataclass(frozen=True)
class Author:
    """Who changes something: a person, or a key or task named by `label`; `request` for the audit row's address."""

    user: User | None = None
    label: str = ""
    request: object = None

    @property
    def signature(self) -> dict[str, Any]:
        """The arguments of `audit` that say who."""
        return {"actor": self.user, "request": self.request, "label": self.label}


def audit(
    *,
    actor: User | None,
    action: str,
    target,
    team: Team | None = None,
    before=None,
    after=None,
    reason: str = "",
    request=None,
    label: str = "",
) -> AuditEntry:
    """Write one audit row in the caller's transaction.

    `action` is "noun.verb"; `target` is anything that names the thing in words; `before`/`after` are
    JSON-able facts (never a secret); `label` names an actor that is not a user: a key, a command, a task.
    """
    return AuditEntry.objects.create(
        actor=actor,
        actor_label=(label or (actor.email if actor else "system"))[:200],
        team=team,
        team_label=team.slug if team else "",
        action=action,
        target=str(target)[:200],
        before=before,
        after=after,
        reason=reason,
        ip=get_adapter().get_client_ip(request) if request else None,
    )


def _team_facts(team: Team) -> dict:
    return {"slug": team.slug, "name": team.name, "cost_center": team.cost_center}


def create_team(
    *, slug: str, name: str, cost_center: str = "", is_demo: bool = False, actor: User | None = None, request=None
) -> Team:
    """A new team without members. Raises IntegrityError when the slug is taken or badly formed."""
    with transaction.atomic():
        team = Team.objects.create(slug=slug, name=name, cost_center=cost_center, is_demo=is_demo)
        audit(actor=actor, action="team.created", target=team.name, team=team, after=_team_facts(team), request=request)
    return team


def edit_team(*, team: Team, name: str, cost_center: str, actor: User, request=None) -> Team:
    """Change name and cost centre; the slug is part of URLs and stays. No audit row when nothing changed."""
    with transaction.atomic():
        team = Team.objects.select_for_update().get(pk=team.pk)
        before = _team_facts(team)
        team.name, team.cost_center = name, cost_center
        if _team_facts(team) != before:
            team.save(update_fields=["name", "cost_center"])
            audit(
                actor=actor,
                action="team.edited",
                target=team.name,
                team=team,
                before=before,
                after=_team_facts(team),
                request=request,
            )
    return team


def _new_user(email: str, password: str) -> User:
    """The address counts as verified: an admin gave it. Else single sign-on would wipe the password."""
    user = User.objects.create_user(email, password)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def create_user(
    *, email: str, password: str | None = None, actor: User | None = None, request=None
) -> tuple[User, str]:
    """A new person who can sign in; returns (user, password). Without a password one is made, to be shown once."""
    password = password or random_text(20)
    with transaction.atomic():
        user = _new_user(email, password)
        audit(actor=actor, action="user.created", target=user.email, after={"email": user.email}, request=request)
    return user, password


def add_member(
    *, email: str, role: str, team: Team | None, actor: User | None = None, request=None
) -> tuple[Membership, str]:
    """Give the person a role in `team` (None: the whole organisation); returns (membership, new password).

    Someone without an account gets one, and the password to hand over; else the password is "".
    Raises ValidationError when the person has that role already.
    """
    email, password = User.objects.normalize_email(email), ""
    try:
        with transaction.atomic():
            user = User.objects.filter(email=email).first()
            if user is None:
                user, password = create_user(email=email, actor=actor, request=request)
            membership = Membership.objects.create(user=user, team=team, role=role)
            audit(
                actor=actor,
                action="member.added",
                target=user.email,
                team=team,
                after={"role": role},
                request=request,
            )
    except IntegrityError as exc:
        raise ValidationError(f"{email} already has the role {Role(role).label}.") from exc
    return membership, password


def create_admin(*, email: str, password: str, label: str) -> User:
    """A new organisation-wide admin, the first person of a desk. Raises ValidationError when the account exists."""
    email = User.objects.normalize_email(email)
    if User.objects.filter(email=email).exists():
        raise ValidationError(f"{email} has an account already. Change its password: manage.py changepassword {email}")
    with transaction.atomic():
        user = _new_user(email, password)
        Membership.objects.create(user=user, team=None, role=Role.ADMIN)
        audit(actor=None, action="member.added", target=email, after={"role": Role.ADMIN}, label=label)
    return user


def _keep_one_admin(membership: Membership) -> None:
    """The organisation must not lose its last admin: nobody could grant anything any more."""
    if membership.team_id is not None or membership.role != Role.ADMIN:
        return
    others = Membership.objects.select_for_update().filter(team=None, role=Role.ADMIN, user__is_active=True)
    if User.objects.filter(is_superuser=True, is_active=True).exists():
        return
    if not any(other.pk != membership.pk for other in others):
        raise ValidationError("This is the organisation's last admin. Make someone else admin first.")


def change_role(*, membership: Membership, role: str, actor: User, request=None) -> Membership:
    """Give the membership another role. Raises ValidationError when the person has it already."""
    before = membership.role
    if before == role:
        return membership
    try:
        with transaction.atomic():
            _keep_one_admin(membership)
            membership.role = role
            membership.save(update_fields=["role"])
            audit(
                actor=actor,
                action="member.role_changed",
                target=membership.user.email,
                team=membership.team,
                before={"role": before},
                after={"role": role},
                request=request,
            )
    except IntegrityError as exc:
        raise ValidationError(f"{membership.user.email} already has the role {Role(role).label}.") from exc
    return membership


def remove_member(*, membership: Membership, actor: User, request=None) -> None:
    """Take the role away. The account stays; without any role it sees nothing."""
    with transaction.atomic():
        _keep_one_admin(membership)
        membership.delete()
        audit(
            actor=actor,
            action="member.removed",
            target=membership.user.email,
            team=membership.team,
            before={"role": membership.role},
            request=request,
        )


def create_api_key(
    *,
    team: Team,
    name: str,
    scopes: Iterable[str],
    environment: str = "",
    actor: User | None = None,
    request=None,
    label: str = "",
) -> tuple[ApiKey, str]:
    """A new key for the team; returns (row, secret text). The text exists only in this return value.

    Raises ValidationError for an unknown or missing scope.
    """
    wanted = list(dict.fromkeys(scopes))
    if not wanted or not set(wanted) <= set(Scope.values):
        raise ValidationError(f"Scopes must be one or more of {', '.join(Scope.values)}.")
    prefix, secret = new_key()
    with transaction.atomic():
        key = ApiKey.objects.create(
            team=team,
            name=name,
            prefix=prefix,
            digest=secret_digest(secret),
            scopes=wanted,
            environment=environment,
            created_by=actor,
        )
        facts = {"prefix": prefix, "scopes": wanted, "environment": environment}
        audit(actor=actor, action="api_key.created", target=key, team=team, after=facts, request=request, label=label)
    return key, key_text(prefix, secret)


def revoke_api_key(*, key: ApiKey, actor: User | None = None, request=None, label: str = "") -> bool:
    """Revoke at once; False when it was revoked before (one audit row, however often it is asked)."""
    with transaction.atomic():
        done = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
        if done:
            facts = {"prefix": key.prefix, "scopes": key.scopes, "environment": key.environment}
            audit(
                actor=actor,
                action="api_key.revoked",
                target=key,
                team=key.team,
                before=facts,
                request=request,
                label=label,
            )
    return bool(done)


def touch_api_key(key: ApiKey) -> None:
    """Note that the key was used, at most once a minute: requests in between cost nothing.

    The condition is repeated in SQL so that many processes noticing the same minute write one row version.
    """
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < LAST_USED_STEP:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_STEP)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
