"""A row of any model, for tests of what all have in common: required fields get the plainest value that fits."""

from datetime import date, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from accounts.models import Team, User
from budgets.models import RateLimit
from incidents.models import AlertRule, Control, ModePolicy, Responsibility, RunbookVersion, SectionKind, Slo
from usage.models import AttributionRule, Price, ProviderLimit

PLAIN: dict[type[models.Field], Any] = {
    models.BooleanField: False,
    models.JSONField: {},
    models.DecimalField: Decimal(1),
    models.FloatField: 1.0,
    models.IntegerField: 1,
    models.BinaryField: b"x",
    models.DateField: date(2026, 3, 2),
    models.TimeField: time(9),
    models.DurationField: timedelta(hours=1),
    ArrayField: [],
}

# What the constraints of a model ask for beyond that.
FITTING: dict[type[models.Model], dict[str, Any]] = {
    AlertRule: {"metric": "requests", "threshold": 1.0},
    AttributionRule: {"service": "checkout", "set_feature": "chat"},
    Control: {"mode": "conserve"},
    ModePolicy: {"mode": "conserve"},
    Price: {"input_mtok": Decimal(1)},
    ProviderLimit: {"requests_per_minute": 1},
    RateLimit: {"requests_per_minute": 1},
    Responsibility: {"name": "Legal"},
    RunbookVersion: {"sections": dict.fromkeys(SectionKind.values, "x")},
    Slo: {"target": Decimal("0.99")},
}
_NUMBERS = count(1)


def anything(model: type[models.Model], team: Team, user: User, **chosen: Any) -> models.Model:
    """A saved row of `model` that belongs to `team`; rows it needs are made too. `chosen` is kept as given."""
    chosen = FITTING.get(model, {}) | chosen
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.name in chosen or field.primary_key:
            continue
        if field.related_model is Team:
            values[field.name] = team
        elif not (field.null or field.has_default() or getattr(field, "auto_now_add", False)):
            values[field.name] = _plain(field, team, user)
    return model._default_manager.create(**values | chosen)


def _plain(field: models.Field, team: Team, user: User) -> Any:
    related = field.related_model
    if related is User:
        return user
    if related is not None:
        return anything(related, team, user)
    if field.blank and isinstance(field, models.CharField | models.TextField):
        return ""
    if field.choices:
        return next(value for value, _ in field.choices if value)
    if isinstance(field, models.CharField | models.TextField):
        return f"x{next(_NUMBERS)}"
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    return next(value for kind, value in PLAIN.items() if isinstance(field, kind))
