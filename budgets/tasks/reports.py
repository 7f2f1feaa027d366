"""Weekly cost reports: looked for every hour from Monday 6:00 UTC on, so that a desk that was away catches up."""

from celery import shared_task
from django.utils import timezone

from budgets.reports import make_due, send_waiting
from budgets.rules.weeks import week_of

# By then Sunday's late events are in, and people have not begun their week.
BEGINS_AT_HOUR = 6


@shared_task
def weekly_reports() -> tuple[int, int]:
    """Make and send what is due; returns how many of each. Run twice, the second one finds nothing to do."""
    now = timezone.now()
    if (now - week_of(now)).total_seconds() < BEGINS_AT_HOUR * 3600:
        return 0, send_waiting(now)
    return make_due(now), send_waiting(now)
