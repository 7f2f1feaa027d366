"""The owner matrix: who is responsible, accountable, consulted and informed (DOMAIN: owner matrix)."""

from django.db import models
from django.db.models import Q


class Responsibility(models.Model):
    """One cell of the matrix: a person, or a group named in words, for a team and perhaps one of its features."""

    class Duty(models.TextChoices):
        RESPONSIBLE = "responsible", "Responsible"
        ACCOUNTABLE = "accountable", "Accountable"
        CONSULTED = "consulted", "Consulted"
        INFORMED = "informed", "Informed"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="responsibilities")
    feature = models.CharField(max_length=100, blank=True, help_text="Empty: every feature of the team")
    duty = models.CharField(max_length=15, choices=Duty.choices)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=100, blank=True, help_text="Who has no account, e.g. Legal")

    class Meta:
        ordering = ["team__name", "feature", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(duty__in=["responsible", "accountable", "consulted", "informed"]),
                                   name="responsibility_duty_known"),
            models.CheckConstraint(condition=Q(user__isnull=True) ^ Q(name=""), name="responsibility_of_somebody"),
            models.UniqueConstraint(
                fields=["team", "feature", "duty", "user", "name"], name="responsibility_once", nulls_distinct=False
            ),
            # Who is asked in the end is one.
            models.UniqueConstraint(
                fields=["team", "feature"], condition=Q(duty="accountable"), name="responsibility_one_accountable"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.who

    @property
    def who(self) -> str:
        return str(self.user) if self.user else self.name
