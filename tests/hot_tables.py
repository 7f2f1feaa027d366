"""Emptying the hot tables between tests: Django's flush knows only the tables it manages itself."""

import pytest
from django.db import connection

TABLES = (
    "usage_event",
    "usage_series",
    "usage_rollup_mark",
    "usage_batch_ledger",
    "usage_event_stamp",
    "usage_reservation_event",
    "usage_minute",
    "usage_tenant_minute",
    "usage_hour",
    "usage_tenant_hour",
    "usage_day",
    "usage_tenant_day",
)


def empty_hot_tables() -> None:
    """Delete every row. Not TRUNCATE, which takes a tenth of a second for the empty partitions alone."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")


@pytest.fixture(autouse=True)
def _nothing_left(request):
    """After a test that commits; one inside a transaction leaves nothing."""
    marker = request.node.get_closest_marker("django_db")
    commits = {"transactional_db", "live_server"} & set(request.fixturenames)
    if commits or (marker and marker.kwargs.get("transaction")):
        request.getfixturevalue("transactional_db")
        yield
        empty_hot_tables()
    else:
        yield
