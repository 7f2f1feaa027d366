"""Re-pricing history in the background. The runs are rows in Postgres; these tasks only nudge them along."""

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from usage.pricing.repricing.run import due, run_repricing


@shared_task
def reprice(job_id: int) -> None:
    run_repricing(job_id)


@shared_task
def take_up() -> None:
    """Start every run that waits for a worker: its nudge was lost, its worker died, or its wait is over."""
    for job_id in due(timezone.now()):
        reprice.delay(job_id)


def nudge(job_id: int) -> None:
    """Ask a worker to begin now. Without a broker `take_up` finds the run when there is one again."""
    try:
        reprice.apply_async([job_id], retry=False)
    except OperationalError:
        return
