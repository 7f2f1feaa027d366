"""What a person says of an anomaly: expected, dismissed, or open again. Audited in the same transaction."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actions import audit
from accounts.models import User
from budgets.anomalies.keep import see_to_alerts
from budgets.models import Anomaly


def decide_anomaly(
    *, anomaly: Anomaly, decision: str, reason: str, actor: User, now: datetime, request=None
) -> Anomaly:
    """Record the decision ("expected", "dismissed", or "" to open it again) and bring its alert up to date.

    Raises ValidationError for another decision or without a reason.
    """
    if decision and decision not in Anomaly.Decision.values:
        raise ValidationError({"decision": "Choose expected, dismissed, or open again."})
    if not reason.strip():
        raise ValidationError({"reason": "Say why, for whoever sees the next one."})
    with transaction.atomic():
        row = Anomaly.objects.select_for_update(of=("self",)).select_related("watch", "team").get(pk=anomaly.pk)
        before = {"decision": row.decision, "reason": row.reason}
        row.decision, row.reason = decision, reason.strip()[:500]
        row.decided_by, row.decided_at = actor, now
        row.save(update_fields=["decision", "reason", "decided_by", "decided_at"])
        audit(
            actor=actor,
            action=f"anomaly.{decision or 'reopened'}",
            target=row,
            team=row.team,
            before=before,
            after={"decision": row.decision, "reason": row.reason},
            reason=row.reason,
            request=request,
        )
        see_to_alerts(row.team, [row.watch], now)
    return row
