"""When forecasts are made anew, keeping them, and the alert of those far over their budget."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Max
from django.urls import reverse

from budgets.models import Budget, Forecast, PlannedEvent
from budgets.rules.outlook import Method
from incidents.actions import raise_alert, resolve_alert
from incidents.models import Alert

EVERY = timedelta(hours=1)
# After a change of budgets or events: soon, but not for each of a row of edits.
AFTER_CHANGE = timedelta(minutes=2)
ALERT = "budget-forecast"
OVER, OVER_NO_MORE = Decimal("1.15"), Decimal("1.10")
# Too little is known for an alert.
UNSURE = frozenset({Method.NONE.value, Method.MEAN.value})
_LOCK = 7_302_026


def due(now: datetime) -> bool:
    """Whether forecasts must be made: none yet, an hour old, or older than a change of a budget or an event."""
    made = Forecast.objects.aggregate(Max("made_at"))["made_at__max"]
    if made is None or now - made >= EVERY:
        return True
    return now - made >= AFTER_CHANGE and (
        Budget.objects.filter(updated_at__gt=made).exists() or PlannedEvent.objects.filter(changed_at__gt=made).exists()
    )


def keep(made: Sequence[Forecast], now: datetime) -> None:
    """Put these in the place of all that are kept, unless newer ones are there already, and see to the alerts."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if Forecast.objects.filter(made_at__gt=now).exists():
            return
        Forecast.objects.all().delete()
        Forecast.objects.bulk_create(made, batch_size=200)
        _alerts(made, now)


def _alerts(made: Sequence[Forecast], now: datetime) -> None:
    shares = [
        (one.budget, one, one.expected / one.limit)
        for one in made
        if one.budget and one.expected is not None and one.limit
    ]
    for budget, one, share in shares:
        if share > OVER and one.method not in UNSURE:
            _raise(budget, one, share, now)
    near = {str(budget.pk) for budget, _, share in shares if share > OVER_NO_MORE}
    standing = Alert.objects.filter(source_kind=ALERT, resolved_at=None).values_list("source_key", flat=True)
    for key in set(standing) - near:
        resolve_alert(source_kind=ALERT, source_key=key, at=now)


def _raise(budget: Budget, one: Forecast, share: Decimal, now: datetime) -> None:
    raise_alert(
        source_kind=ALERT,
        source_key=str(budget.pk),
        team=budget.team,
        severity="warning",
        route="ticket",
        title=f"{budget.name}: forecast {round((share - 1) * 100)} % over its budget",
        detail=f"Expected by {one.period_end:%Y-%m-%d}: {one.expected:.2f} {budget.unit_label} of {one.limit:.2f}",
        url=reverse("budget-forecast", args=[budget.pk]),
        runbook="cost-spike#containment",
        labels={"budget": str(budget.pk)},
        at=now,
    )
