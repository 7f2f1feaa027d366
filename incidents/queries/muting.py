"""What mutes alerts at a moment, read once for any number of them."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from incidents.models import Alert, AlertRule, Silence
from incidents.rules.muting import AFTER_PARENT, Parent, Quiet, Told, why_muted


@dataclass(frozen=True)
class Muting:
    """Silences, maintenance windows and parents in force at one moment."""

    quiet: tuple[Quiet, ...]
    parents: tuple[Parent, ...]

    def why(self, alert: Told) -> str:
        return why_muted(alert, self.quiet, self.parents)


def told(alert: Alert) -> Told:
    """What muting looks at of an alert; its rule should be joined."""
    rule = alert.rule
    return Told(
        alert.team_id,
        alert.rule_id,
        rule.parent_id if rule else None,
        alert.labels,
        rule_is_off=rule is not None and not rule.is_active,
    )


def quiet_of(silence: Silence) -> Quiet:
    """A silence as muting sees it."""
    return Quiet(silence.team_id, silence.rule_id, silence.labels, silence.reason, silence.is_maintenance)


def in_force(now: datetime) -> Muting:
    """Everything that mutes alerts at `now`."""
    silences = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now).order_by("id")
    firing = Q(resolved_at=None) | Q(resolved_at__gt=now - AFTER_PARENT)
    rules = AlertRule.objects.filter(children__isnull=False, is_active=True)
    parents = Alert.objects.filter(firing, rule__in=rules).order_by("id")
    return Muting(
        tuple(quiet_of(one) for one in silences),
        tuple(Parent(one.rule_id, one.team_id, one.labels, one.title) for one in parents if one.rule_id),
    )


def matching(silence: Silence, alerts: list[Alert]) -> list[Alert]:
    """Those of the alerts that the silence would mute."""
    quiet = quiet_of(silence)
    return [one for one in alerts if quiet.covers(told(one))]
