"""The Python client in tests: a key on the shared desk, a call no other test makes, a client of clients/python."""

import pytest
from aiops_desk import Desk

from tests.guard import CALL
from tests.running_desk import RunningDesk
from tests.test_guard_bad_days import execute

# A shared machine may be slow at times: a time-out is for the tests that are about it.
PATIENT = 20


def key_of(desk: RunningDesk) -> str:
    """A new key of the team `client`."""
    return desk.manage("apikey", "create", "--team", "client", "--create-team", "--scopes", "guard,ingest").strip()


@pytest.fixture(scope="session")
def caller_key(desk) -> str:
    return key_of(desk)


@pytest.fixture
def call(request) -> dict:
    """The usual call, of a feature of this test."""
    file = request.module.__name__.rpartition("_")[2]
    return CALL | {"feature": f"{file} {request.node.name}"[:100]}


@pytest.fixture
def caller(desk, caller_key):
    with Desk(desk.url, caller_key, timeout=PATIENT) as made:
        yield made


def conserve(desk: RunningDesk, key: str, feature: str, max_output_tokens: int) -> None:
    """The feature saves money from now on: gpt-4o becomes gpt-4o-mini, with short answers."""
    team = "SELECT team_id FROM accounts_apikey WHERE prefix = %s"
    execute(
        desk,
        "INSERT INTO incidents_modepolicy (team_id, feature, mode, max_output_tokens, model_map, tools_off, updated_at)"
        f" VALUES (({team}), %s, 'conserve', %s, '{{\"gpt-4o\": \"gpt-4o-mini\"}}', '{{}}', now())",
        (key.split("_")[1], feature, max_output_tokens),
    )
    execute(
        desk,
        "INSERT INTO incidents_control (team_id, feature, tenant, environment, user_hash, provider, model, cost_center,"
        " kind, tool_name, queue_class, mode, failover_order, origin, origin_key, reason, created_at, ended_reason)"
        f" VALUES (({team}), %s, '', '', '', '', '', '', 'mode', '', '', 'conserve', '{{}}', 'person', '', 'test',"
        " now(), '')",
        (key.split("_")[1], feature),
    )
