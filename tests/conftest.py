"""What every test can use: the cast, a real broker, a whole running desk, a browser."""

import os

import django
import pytest
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


@pytest.fixture
def broker():
    """A connection to this test process's own database of a real Valkey, emptied before the test."""
    with Connection(os.environ["BROKER_URL"]) as connection:
        connection.default_channel.client.flushdb()
        yield connection
