"""Bad days of the alert rules: everything fires at once, two evaluators, a worker that dies at the worst moment."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Team
from incidents.actions.evaluation import evaluate
from incidents.models import Alert, AlertGroup, AlertRule, Delivery, RunbookSection
from tests.alerting import make_channel, make_rule
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)
TEAMS, RULES = 200, 10
RUNBOOKS = ("latency", "provider-outage")
# Of this process's own CPU, whatever its neighbours do; bench/rules.py measures the real figure.
MOST_CPU_SECONDS = 20


@pytest.fixture(autouse=True)
def only_rules_of_the_test(db) -> None:
    AlertRule.objects.update(is_active=False)


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(second=40, microsecond=0) - timedelta(minutes=1)


def many_teams(now: datetime) -> list[Team]:
    """Teams with the same traffic of the last minutes: that of one, copied row by row."""
    first, *others = Team.objects.bulk_create(Team(slug=f"team-{n}", name=f"Team {n}") for n in range(TEAMS))
    record(first, now - timedelta(minutes=1), 30)
    drain()
    with connection.cursor() as cursor:
        for table in ("usage_series", "usage_minute"):
            cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
            names = [name for (name,) in cursor.fetchall() if name != "team_id"]
            cursor.execute(
                f"INSERT INTO {table} (team_id, {', '.join(names)})"
                f" SELECT t, {', '.join(names)} FROM {table}, unnest(%s::bigint[]) t WHERE team_id = %s",
                [[team.pk for team in others], first.pk],
            )
    return [first, *others]


def rules_of(teams: list[Team]) -> None:
    """RULES rules of each team that all fire from one request on."""
    sections = list(RunbookSection.objects.filter(runbook__slug__in=RUNBOOKS, kind="containment"))
    facts = {"kind": "threshold", "metric": "requests", "threshold": 0, "severity": "critical", "route": "page"}
    AlertRule.objects.bulk_create(
        AlertRule(
            slug=f"{team.slug}-{n}",
            name=f"Rule {n}",
            team=team,
            runbook_section=sections[n % len(sections)],
            window_seconds=300 * (1 + n % 3),
            first_mitigation="Look",
            **facts,
        )
        for team in teams
        for n in range(RULES)
    )


def test_two_thousand_rules_that_fire_at_once_are_a_notification_for_each_team_and_cause(now):
    rules_of(many_teams(now))
    make_channel()
    began = time.process_time()
    done = evaluate(now)
    assert time.process_time() - began < MOST_CPU_SECONDS
    assert (done.rules, done.begun, done.failed) == (TEAMS * RULES, TEAMS * RULES, 0)
    assert AlertGroup.objects.count() == TEAMS * len(RUNBOOKS)
    assert Delivery.objects.filter(kind="alert").count() == TEAMS * len(RUNBOOKS)
    assert evaluate(now + timedelta(seconds=30)).begun == 0


def test_two_evaluations_at_once_make_one_alert(cast, now):
    make_rule(min_events=5)
    record(cast.support, now - timedelta(minutes=1), 20, status="error", error_type="timeout")
    drain()

    def work(_):
        try:
            return evaluate(now)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert Alert.objects.count() == 1


class Killed(Exception):
    """The worker is gone."""


def test_a_worker_that_dies_before_it_commits_leaves_neither_alert_nor_notification(cast, now):
    make_channel()
    make_rule(min_events=5)
    record(cast.support, now - timedelta(minutes=1), 20, status="error", error_type="timeout")
    drain()
    with pytest.raises(Killed), transaction.atomic():
        evaluate(now)
        raise Killed
    assert (Alert.objects.count(), Delivery.objects.count()) == (0, 0)


def test_a_worker_that_dies_before_it_sends_leaves_the_notification_in_the_outbox_once(cast, now):
    make_channel()
    make_rule(min_events=5)
    record(cast.support, now - timedelta(minutes=1), 20, status="error", error_type="timeout")
    drain()
    for _ in range(3):  # nobody sends; the next evaluations find what is there
        evaluate(now)
    assert [one.state for one in Delivery.objects.filter(kind="alert")] == ["waiting"]
