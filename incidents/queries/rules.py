"""Reads of alert rules and silences."""

from django.db.models import Count, Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import AuditEntry, User
from incidents.models import AlertRule, Silence


def visible_rules(user: User) -> QuerySet[AlertRule]:
    """Those of the user's teams and those of all teams, with the number of their alerts that fire for the user."""
    teams = visible_teams(user)
    firing = Q(alerts__resolved_at=None) & (
        Q(alerts__team__in=teams) | (Q(alerts__team=None) if can(user, "team.view") else Q())
    )
    return (
        AlertRule.objects.filter(Q(team__in=teams) | Q(team=None))
        .select_related("team", "owner", "runbook_section__runbook", "parent", "slo")
        .annotate(firing=Count("alerts", filter=firing, distinct=True))
    )


def visible_silences(user: User) -> QuerySet[Silence]:
    """Those of the user's teams and those of all teams."""
    mine = Q(team__in=visible_teams(user)) | Q(team=None)
    return Silence.objects.filter(mine).select_related("team", "rule", "created_by")


def history(rule: AlertRule, limit: int = 30) -> QuerySet[AuditEntry]:
    """Who changed the rule, newest first."""
    return AuditEntry.objects.filter(target__startswith=f"rule {rule.pk}: ").order_by("-at", "-pk")[:limit]
