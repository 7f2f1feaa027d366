"""manage.py forecast: make the forecasts of all budgets, teams and the organisation anew."""

import time

from django.core.management.base import BaseCommand
from django.utils import timezone

from budgets.forecasting.keep import keep
from budgets.forecasting.make import forecasts
from budgets.forecasting.subjects import subjects
from budgets.models import PlannedEvent


class Command(BaseCommand):
    requires_system_checks = []  # which load every page of the desk; `migrate` makes them
    help = "Forecast every budget's period and the month's spend of every team. Workers do it hourly by themselves."

    def handle(self, *args, **options):
        began, now = time.process_time(), timezone.now()
        events = list(PlannedEvent.objects.filter(removed_at=None).select_related("team"))
        made = forecasts(subjects(now), events, now)
        keep(made, now)
        self.stdout.write(f"{len(made)} forecasts in {time.process_time() - began:.1f} CPU seconds.")
