"""Reads of the accounts room that span rows."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Q, QuerySet

from accounts.access import can, teams_where, visible_teams
from accounts.models import ApiKey, AuditEntry, Membership, Team

AUDIT_PAGE = 50


def teams_with_counts(user) -> QuerySet[Team]:
    """Visible teams, each with `people` (distinct members) and `active_keys`."""
    return visible_teams(user).annotate(
        people=Count("memberships__user", distinct=True),
        active_keys=Count("api_keys", filter=Q(api_keys__revoked_at=None), distinct=True),
    )


def members_of(team: Team | None) -> QuerySet[Membership]:
    """Memberships of the team, or the organisation-wide ones, by e-mail."""
    return Membership.objects.filter(team=team).select_related("user", "team").order_by("user__email", "role")


def roles_of(user) -> QuerySet[Membership]:
    """The person's own memberships: organisation-wide first, then by team."""
    return user.memberships.select_related("team").order_by(F("team__name").asc(nulls_first=True), "role")


def keys_of(team: Team) -> QuerySet[ApiKey]:
    """The team's keys: active ones first, newest first."""
    return team.api_keys.select_related("created_by").order_by(
        F("revoked_at").desc(nulls_first=True), "-created_at", "-id"
    )


@dataclass(frozen=True)
class AuditFilter:
    """What the audit page was asked for; empty means "any". `start` is inclusive, `end` exclusive."""

    team: Team | None = None
    action: str = ""
    actor: str = ""
    start: datetime | None = None
    end: datetime | None = None


def audit_entries(user, wanted: AuditFilter) -> QuerySet[AuditEntry]:
    """Entries the user may read, newest first: all of them, or those of the teams where they hold the right."""
    entries = AuditEntry.objects.all()
    if not can(user, "audit.read"):
        entries = entries.filter(team__in=list(teams_where(user, "audit.read").values_list("pk", flat=True)))
    given = {
        "team": wanted.team,
        "action": wanted.action,
        "actor_label__icontains": wanted.actor,
        "at__gte": wanted.start,
        "at__lt": wanted.end,
    }
    return entries.filter(**{name: value for name, value in given.items() if value}).order_by("-id")


def audit_page(user, wanted: AuditFilter, before_id: int | None) -> tuple[list[AuditEntry], int | None]:
    """One page of entries older than `before_id`, and the id to go on from (None on the last page)."""
    entries = audit_entries(user, wanted)
    if before_id:
        entries = entries.filter(pk__lt=before_id)
    page = list(entries[: AUDIT_PAGE + 1])
    return page[:AUDIT_PAGE], page[AUDIT_PAGE - 1].pk if len(page) > AUDIT_PAGE else None


def audit_actions() -> list[str]:
    """Every action that occurs, for the filter's choices."""
    return list(AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct())
