"""Controls: setting and ending them, and what is in force. The guard sees a change with its next answer."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.access import can, visible_teams
from accounts.actions import Author, audit
from accounts.models import Team, User
from aiops_site import formats
from incidents.models import Control
from incidents.models.controls import ControlVersion, Mode
from usage.changes import record_change
from usage.models.scopes import SCOPE_FIELDS

LONGEST = timedelta(days=366)
# Set by people; the others are begun and ended by the desk with what they answer to.
BY_PEOPLE = (Control.Origin.PERSON, Control.Origin.INCIDENT)
# What a kind needs and what it must not have; the database has the same rules, these have the words.
OWN_FIELDS = {
    "mode": ("mode",),
    "kill_switch": (),
    "breaker": (),
    "failover": ("failover_order",),
    "throttle": ("queue_class", "requests_per_minute"),
    "rate_limit": ("requests_per_minute", "tokens_per_minute", "concurrency"),
}
OF_SOME_KINDS = ("mode", "queue_class", *OWN_FIELDS["rate_limit"], "failover_order")


@dataclass(frozen=True)
class Where:
    """The slice of the calls that a control is over; '' and None mean any."""

    team: Team | None = None
    feature: str = ""
    tenant: str = ""
    environment: str = ""
    user_hash: str = ""
    provider: str = ""
    model: str = ""
    cost_center: str = ""


@dataclass(frozen=True)
class What:
    """What a control does. `tool_name` only with a kill switch."""

    kind: str
    mode: str = ""
    tool_name: str = ""
    queue_class: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    failover_order: list[str] = field(default_factory=list)


class InForceAlready(ValidationError):
    """People have put the same in force over the same calls; `control` is what they set, which can be extended."""

    def __init__(self, control: Control) -> None:
        self.control = control
        who = control.created_by or control.get_origin_display()
        since = formats.ago(control.created_at)
        super().__init__(f"{control} is in force already, set {since} by {who}. Extend it instead, or end it first.")


def set_control(
    *,
    author: Author,
    where: Where,
    what: What,
    reason: str,
    expires_at: datetime | None = None,
    origin: str = Control.Origin.PERSON,
    origin_key: str = "",
    at: datetime | None = None,
) -> Control:
    """Put a control in force, with its audit row and a change marker for the charts, in one transaction.

    Raises ValidationError by field: no reason, an end that is past, a kind without what it needs; InForceAlready
    where people have set the same over the same calls, so that a double click or two people at once set it once.
    """
    now = at or timezone.now()
    control = Control(
        **vars(where), **vars(what), reason=reason.strip(), origin=origin, origin_key=origin_key, created_at=now
    )
    control.expires_at, control.created_by = expires_at, author.user
    _check(control, now)
    with transaction.atomic():
        if origin in BY_PEOPLE:
            _refuse_a_second(where, what, now)
        control.save()
        _record(control, "control.set", author, control.reason, after=facts(control), at=now, title=f"{control}")
    return control


def end_control(*, author: Author, control: Control, reason: str, at: datetime | None = None) -> Control:
    """End a control now. Raises ValidationError where it is not in force any more, or no reason is given."""
    now = at or timezone.now()
    if not reason.strip():
        raise ValidationError({"reason": "Say why: the history shows it."})
    with transaction.atomic():
        control = Control.objects.select_for_update(of=("self",)).select_related("team").get(pk=control.pk)
        if not control.is_in_force(now):
            raise ValidationError("It is not in force any more.")
        before = facts(control)
        control.ended_at, control.ended_by, control.ended_reason = now, author.user, reason.strip()[:500]
        control.save(update_fields=["ended_at", "ended_by", "ended_reason"])
        _record(control, "control.ended", author, reason, before=before, at=now, title=f"{control} ends")
    return control


def extend_control(*, author: Author, control: Control, expires_at: datetime | None) -> Control:
    """Give a control that people set a later end; None is until somebody ends it. Raises ValidationError."""
    now = timezone.now()
    with transaction.atomic():
        control = Control.objects.select_for_update(of=("self",)).select_related("team").get(pk=control.pk)
        if not control.is_in_force(now):
            raise ValidationError("It is not in force any more. Set it anew.")
        if control.origin not in BY_PEOPLE:
            raise ValidationError("The desk set it and ends it by itself. Set one of your own beside it.")
        if control.expires_at is None or (expires_at and expires_at <= control.expires_at):
            raise ValidationError("It lasts longer than that already. To shorten it, end it.")
        before = facts(control)
        control.expires_at = expires_at
        _check(control, now)
        control.save(update_fields=["expires_at"])
        _audit(control, "control.extended", author, "", before=before, after=facts(control))
    return control


def _refuse_a_second(where: Where, what: What, now: datetime) -> None:
    """Raises InForceAlready. Whoever sets controls waits here for the row that every change of one writes anyway."""
    ControlVersion.objects.select_for_update().get_or_create(pk=1)
    if first := in_force(now).filter(**vars(where), **vars(what), origin__in=BY_PEOPLE).first():
        raise InForceAlready(first)


def in_force(now: datetime) -> QuerySet[Control]:
    """Every control in force, newest first."""
    return Control.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), ended_at=None).select_related(
        "team", "created_by"
    )


def visible_controls(user: User) -> QuerySet[Control]:
    """Those of the user's teams and those over all teams, which reach into every team."""
    return Control.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None)).select_related(
        "team", "created_by", "ended_by"
    )


def may_set(user: User, team: Team | None) -> bool:
    return can(user, "control.set", team)


def facts(control: Control) -> dict[str, Any]:
    """What a control says, for the audit log and the API."""
    names = ("kind", *OWN_FIELDS[control.kind], *SCOPE_FIELDS, "tool_name", "origin", "origin_key", "reason")
    found = {name: value for name in names if (value := getattr(control, name)) not in ("", None, [])}
    found["team"] = control.team.slug if control.team else "all"
    return found | {"expires_at": control.expires_at.isoformat() if control.expires_at else None}


def _check(control: Control, now: datetime) -> None:
    problems = {}
    if not control.reason:
        problems["reason"] = "Say why: the history shows it."
    if control.expires_at and not now < control.expires_at <= now + LONGEST:
        problems["expires_at"] = "It must end in the future, within a year."
    problems |= _kind_problems(control)
    if problems:
        raise ValidationError(problems)
    control.clean_fields()


def _kind_problems(control: Control) -> dict[str, str]:
    if control.kind not in OWN_FIELDS:
        return {"kind": f"This must be one of {', '.join(OWN_FIELDS)}."}
    problems = {}
    if control.kind == "mode" and control.mode not in Mode.values:
        problems["mode"] = "Choose the mode."
    if control.kind == "failover" and not control.failover_order:
        problems["failover_order"] = "Name the providers in the order to try, e.g. azure, openai/gpt-4o."
    if control.kind == "throttle":
        if control.queue_class not in ("realtime", "batch", "backfill"):
            problems["queue_class"] = "This must be realtime, batch or backfill."
        if control.requests_per_minute is None:
            problems["requests_per_minute"] = "Say how many requests a minute are let through; 0 stops them."
    if control.kind == "rate_limit":
        problems |= _amount_problems(control)
    for name in OF_SOME_KINDS:
        if name not in OWN_FIELDS[control.kind] and getattr(control, name) not in ("", None, []):
            problems[name] = f"A {control.get_kind_display().lower()} has none. Leave it empty."
    if control.tool_name and control.kind != "kill_switch":
        problems["tool_name"] = "Only a kill switch takes a tool away."
    return problems


def _amount_problems(control: Control) -> dict[str, str]:
    amounts = {name: getattr(control, name) for name in OWN_FIELDS["rate_limit"]}
    if all(amount is None for amount in amounts.values()):
        return {"requests_per_minute": "Give at least one limit: requests, tokens or calls at once."}
    low = "This must be at least 1. To stop calls, use a kill switch or a breaker."
    return {name: low for name, amount in amounts.items() if amount is not None and amount < 1}


def _record(
    control: Control, action: str, author: Author, reason: str, *, at: datetime, title: str, before=None, after=None
) -> None:
    _audit(control, action, author, reason, before=before, after=after)
    record_change(
        team=control.team,
        at=at,
        kind="policy",
        title=title[:200],
        description=reason,
        actor=author.user,
        environment=control.environment,
        feature=control.feature,
    )


def _audit(control: Control, action: str, author: Author, reason: str, *, before, after) -> None:
    audit(
        action=action,
        target=str(control),
        team=control.team,
        before=before,
        after=after,
        reason=reason,
        **author.signature,
    )
