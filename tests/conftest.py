"""What every test can use: the cast, a real broker, a whole running desk, a browser."""

import os

import django
import pytest
from hypothesis import settings
from kombu import Connection

from tests import servers

# Before anything else: the settings read the addresses of the servers, and the cast imports models.
servers.provide()
django.setup()

pytest_plugins = [
    "tests.cast",
    "tests.migrated",
    "tests.hot_tables",
    "tests.ingest",
    "tests.running_desk",
    "tests.client",
    "tests.browser",
]

# How long one example takes says more about the neighbours than about the code.
settings.register_profile("desk", deadline=None)
settings.load_profile("desk")

# The longest files, longest first: two processes then end together, instead of one of them after a minute alone.
LONGEST = (
    "test_repricing_live", "test_bench_anomaly", "test_crashes", "test_launcher", "test_guard_bad_days",
    "test_client_away", "test_disk_full", "test_client_guard", "test_anomalies", "test_odd_addresses",
    "test_anomaly_stories", "test_metrics_query", "test_explain_stories", "test_triage_stories", "test_triage_drills",
    "test_alert_storms", "test_frame", "test_client_package", "test_shipped_rules", "test_demo_load", "test_bench",
)  # fmt: skip


def pytest_collection_modifyitems(items) -> None:
    """Begin with LONGEST; `make test` keeps this order, which pytest-xdist would change."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture
def broker():
    """A connection to this test process's own database of a real Valkey, emptied before the test."""
    with Connection(os.environ["BROKER_URL"]) as connection:
        connection.default_channel.client.flushdb()
        yield connection
