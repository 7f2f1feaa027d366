"""Forecasts are made by a command: it alone loads the statistics library, so workers that never run it stay small."""

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from budgets.forecasting.keep import due


@shared_task
def refresh_forecasts() -> bool:
    """Make the forecasts anew where that is due; whether it was. Twice at once, the newer ones stay."""
    if not due(timezone.now()):
        return False
    call_command("forecast", verbosity=0)
    return True
