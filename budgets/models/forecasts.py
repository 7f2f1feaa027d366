"""What is expected of a budget's period or a month's spend, and the events known in advance."""

from datetime import date
from functools import cached_property

from django.db import models
from django.db.models import F, Q

from budgets.rules.outlook import METHOD_WORDS, Band, Event, Method, OutlookDay
from usage.models.scopes import CallScope


def _estimate() -> models.DecimalField:
    return models.DecimalField(null=True, max_digits=30, decimal_places=12)


class PlannedEvent(CallScope):
    """Known in advance: from `starts_on` to `ends_on`, both included, the slice uses `factor` times the usual.

    Removing keeps the row, so that a forecast made before can be told to be older than the change.
    """

    name = models.CharField(max_length=100)
    starts_on = models.DateField()
    ends_on = models.DateField()
    factor = models.DecimalField(max_digits=6, decimal_places=3, help_text="1.4 is 40 % more than usual")
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_on", "name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")), name="planned_event_ends_after_start"),
            models.CheckConstraint(condition=Q(factor__gte=0, factor__lte=100), name="planned_event_factor_in_range"),
        ]

    def __str__(self) -> str:
        return self.name

    def rule(self, share: float = 1.0) -> Event:
        """The event as it acts on something of which its slice is this share."""
        return Event(self.starts_on, self.ends_on, 1 + (float(self.factor) - 1) * share)

    @property
    def percent(self) -> int:
        """Change against the usual in percent: 40, -20."""
        return round((self.factor - 1) * 100)

    @property
    def change_text(self) -> str:
        """E.g. "+40 %" or "−30 %"."""
        return f"{'+' if self.percent >= 0 else '−'}{abs(self.percent)} %"


class Forecast(models.Model):
    """The latest forecast of one subject's current period: a budget, a team's month (USD), or all teams' month.

    Amounts are in `unit` and of the whole period: what was spent when it was made and what is expected on top. They
    are None where no forecast can be made yet; `reason` says why.
    """

    budget = models.OneToOneField(
        "budgets.Budget", on_delete=models.CASCADE, null=True, blank=True, related_name="forecast"
    )
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    unit = models.CharField(max_length=8)
    time_zone = models.CharField(max_length=64)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    made_at = models.DateTimeField()
    method = models.CharField(max_length=10, choices=[(method.value, METHOD_WORDS[method]) for method in Method])
    reason = models.CharField(max_length=300)
    limit = _estimate()
    spent = models.DecimalField(max_digits=30, decimal_places=12)
    unknown_calls = models.PositiveBigIntegerField(default=0)
    expected = _estimate()
    low80 = _estimate()
    high80 = _estimate()
    low95 = _estimate()
    high95 = _estimate()
    exhausted_on = models.DateField(null=True)
    exhausted_earliest = models.DateField(null=True)
    exhausted_latest = models.DateField(null=True)
    days = models.JSONField(help_text="Per day ahead: [date, [expected, low80, high80, low95, high95], [of the sum]]")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["team"], condition=Q(budget=None), name="forecast_once_per_team", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(budget=None) | Q(team=None), name="forecast_of_one_subject"),
            models.CheckConstraint(
                condition=Q(method="none", expected=None) | (~Q(method="none") & Q(expected__isnull=False)),
                name="forecast_none_has_no_figures",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget or self.team or 'Organisation'} until {self.period_end:%Y-%m-%d}"

    @cached_property
    def outlook(self) -> list[OutlookDay]:
        """The days ahead; the first is what is left of the day it was made on."""
        return [OutlookDay(date.fromisoformat(at), Band(*day), Band(*total)) for at, day, total in self.days]

    @property
    def name(self) -> str:
        """The budget's or the team's; "All teams" for the organisation."""
        return str((self.budget and self.budget.name) or (self.team and self.team.name) or "All teams")

    @property
    def known(self) -> bool:
        return self.expected is not None

    @property
    def share(self) -> float | None:
        """Expected by limit; None without either."""
        return float(self.expected / self.limit) if self.expected is not None and self.limit else None
