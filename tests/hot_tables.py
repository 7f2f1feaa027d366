"""Emptying the hot tables between tests: Django's flush knows only the tables it manages itself."""

import pytest
from django.db import connection

TABLES = (
    "usage_event, usage_series, usage_rollup_mark, usage_batch_ledger, usage_event_stamp, usage_minute,"
    " usage_tenant_minute, usage_hour, usage_tenant_hour, usage_day, usage_tenant_day"
)


@pytest.fixture(autouse=True)
def _empty_hot_tables(request):
    """Before a test that commits, for another may have left rows; one inside a transaction leaves nothing."""
    marker = request.node.get_closest_marker("django_db")
    commits = {"transactional_db", "live_server"} & set(request.fixturenames)
    if commits or (marker and marker.kwargs.get("transaction")):
        request.getfixturevalue("transactional_db")
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {TABLES}")
    yield
