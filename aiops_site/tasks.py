"""Tasks of what composes all rooms."""

from celery import shared_task
from django.utils import timezone

from aiops_site.drills.traffic import inject
from incidents.actions.drills import end_overdue, observe
from incidents.queries.drills import running_game_days


@shared_task
def advance_drills() -> int:
    """Telemetry of the running drills up to now, and what people have done about it; returns the events made."""
    made = sum(inject(drill, timezone.now()) for drill in running_game_days())
    for drill in running_game_days():
        observe(drill, timezone.now())
    end_overdue(timezone.now())
    return made
