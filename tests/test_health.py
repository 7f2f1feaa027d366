"""GET /healthz and /readyz: what a probe learns on good and bad days."""

import socket
from datetime import UTC, datetime

import pytest
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from tests.running_desk import free_port


@pytest.fixture
def ready(client, db, broker):
    """Asks /readyz; returns (status code, body)."""

    def ask():
        answer = client.get("/readyz")
        return answer.status_code, answer.json()

    return ask


def test_it_is_live_without_database_or_broker(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_it_is_ready_when_everything_answers(ready):
    status, body = ready()
    assert (status, body["status"]) == (200, "ok")
    assert set(body["checks"]) == {"database", "migrations", "broker", "rollups"}


def test_it_is_degraded_but_in_service_when_the_broker_is_away(ready, settings):
    settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{free_port()}/0"
    status, body = ready()
    assert (status, body["status"], body["checks"]["broker"]["status"]) == (200, "degraded", "failed")


def test_it_waits_only_seconds_for_a_broker_that_accepts_and_says_nothing(ready, settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = datetime.now(UTC)
        assert ready()[1]["status"] == "degraded"
        assert (datetime.now(UTC) - began).total_seconds() < 8


def test_it_is_down_when_a_migration_is_missing(ready):
    MigrationRecorder.Migration.objects.filter(app="accounts").latest("id").delete()
    status, body = ready()
    assert (status, body["status"]) == (503, "down")
    assert "manage.py migrate" in body["checks"]["migrations"]["detail"]


def test_it_is_degraded_when_the_rollups_lag(ready):
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into usage_rollup_mark (tier, team_id, bucket, created_at)"
            " values (0, 1, now(), now() - interval '10 min')"
        )
    status, body = ready()
    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["rollups"]["lag_seconds"] >= 600


@pytest.mark.django_db(transaction=True)
def test_it_is_down_when_the_database_is_away_and_does_not_tell_where_it_was(client, broker):
    default = connections["default"]
    default.close()
    kept, default.settings_dict = default.settings_dict, default.settings_dict | {"NAME": "no_such_database_here"}
    try:
        answer = client.get("/readyz")
    finally:
        default.close()
        default.settings_dict = kept
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert "no_such_database" not in answer.content.decode()
