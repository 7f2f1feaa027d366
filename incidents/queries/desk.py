"""Facts about the desk itself that rules of kind desk judge: is it late, stuck, or blind?"""

from datetime import datetime
from decimal import Decimal

from django.db.models import Min
from django.db.models.functions import Coalesce

from incidents.models import AlertRule, QueueBeat
from incidents.queries.readings import LabelSet
from incidents.rules.alert_rules import Reading
from usage.rollups import lag_seconds


def desk_label_sets(rule: AlertRule, now: datetime) -> list[LabelSet]:
    """What the rule's fact is now, in seconds; of queues, one label set for each."""
    return _FACTS[rule.metric](now)


def _lag(now: datetime) -> list[LabelSet]:
    return [LabelSet(None, {}, Reading(Decimal(str(lag_seconds()))))]


def _queues(now: datetime) -> list[LabelSet]:
    """How long ago a worker of each queue last took the task that is sent to it every minute."""
    return [
        LabelSet(None, {"queue": beat.queue}, Reading(_seconds(now - beat.taken_at)))
        for beat in QueueBeat.objects.order_by("queue")
    ]


def _evaluation(now: datetime) -> list[LabelSet]:
    """Since when the active rule that waits longest was not evaluated; those that fail have an alert of their own."""
    active = AlertRule.objects.filter(is_active=True, failed_at=None, kind__in=EVALUATED)
    oldest = active.aggregate(oldest=Min(Coalesce("evaluated_at", "updated_at")))["oldest"]
    return [LabelSet(None, {}, Reading(_seconds(now - oldest)))] if oldest else []


def _seconds(passed) -> Decimal:
    return max(Decimal(0), Decimal(str(passed.total_seconds())))


# Kinds that this room evaluates itself; of the others a rule stands for alerts that other rooms raise.
EVALUATED = tuple(set(AlertRule.Kind.values) - {AlertRule.Kind.ANOMALY, AlertRule.Kind.BUDGET})
_FACTS = {"rollup_lag": _lag, "queue_age": _queues, "evaluation_age": _evaluation}
