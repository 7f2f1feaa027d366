"""Raising and resolving alerts: one open alert per condition, whoever raises it how often."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from incidents.actions import raise_alert, resolve_alert
from incidents.models import Alert

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FACTS = {"source_kind": "budget", "source_key": "budget:1:85", "team": None, "severity": "warning", "route": "ticket"}
FACTS |= {"title": "85 % of the budget is used", "runbook": "cost-spike#containment"}


def raised(**more) -> Alert:
    return raise_alert(**FACTS | {"at": NOON} | more)


@pytest.mark.django_db
def test_raising_again_brings_the_same_alert_up_to_date():
    first, second = raised(), raised(at=NOON + timedelta(minutes=1), severity="critical")
    assert first.pk == second.pk
    assert (second.started_at, second.last_raised_at) == (NOON, NOON + timedelta(minutes=1))
    assert (second.severity, second.raised_count) == ("critical", 2)


@pytest.mark.django_db
def test_a_resolved_condition_that_returns_is_a_new_alert():
    first = raised()
    assert resolve_alert(source_kind="budget", source_key="budget:1:85", at=NOON + timedelta(hours=1))
    assert not resolve_alert(source_kind="budget", source_key="budget:1:85", at=NOON + timedelta(hours=1))
    assert raised(at=NOON + timedelta(hours=2)).pk != first.pk


@pytest.mark.django_db
def test_an_alert_is_never_resolved_before_it_began():
    alert = raised()
    resolve_alert(source_kind="budget", source_key="budget:1:85", at=NOON - timedelta(hours=1))
    alert.refresh_from_db()
    assert alert.resolved_at == NOON


@pytest.mark.django_db
def test_an_alert_without_a_runbook_is_refused_by_the_code_and_by_the_database():
    with pytest.raises(ValueError, match="runbook"):
        raised(runbook="")
    alert = raised()
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.filter(pk=alert.pk).update(runbook="")


@pytest.mark.django_db(transaction=True)
def test_eight_workers_that_raise_one_condition_make_one_alert():
    def work(_):
        try:
            return raised().pk
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(40)))) == 1
    assert Alert.objects.get().raised_count == 40
