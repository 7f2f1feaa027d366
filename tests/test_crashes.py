"""kill -9 in the middle of a replay: what was acknowledged is there exactly once, in events and in every roll-up."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from django.utils import timezone

from aiops_site.desk.supervisor import wait_for
from tests.running_desk import ROOT, RunningDesk, new_desk
from tests.test_launcher import database
from tests.traffic import event

EVENTS = 9_000
AWAY_SECONDS = float(os.environ.get("BROKER_AWAY_SECONDS", "10"))
CHILDREN = ("web", "worker-realtime", "worker-batch", "beat", "valkey", "postgres")


@pytest.fixture(scope="module")
def crashing():
    with new_desk() as running:
        yield running


@pytest.fixture(scope="module")
def key(crashing) -> str:
    return crashing.manage("apikey", "create", "--team", "crash", "--create-team", "--scopes", "ingest,read").strip()


def write_trace(folder: Path, name: str) -> Path:
    """EVENTS events over the last two hours, of which every tenth names a tenant."""
    start = timezone.now() - timedelta(hours=2)
    step = timedelta(hours=2) / EVENTS
    path = folder / f"{name}.ndjson"
    with path.open("wb") as file:
        for number in range(EVENTS):
            one = event(start + step * number, event_id=f"{name}-{number}", tenant="acme" if number % 10 == 0 else None)
            file.write(msgspec.json.encode(one) + b"\n")
    return path


def start_replay(desk: RunningDesk, key: str, path: Path) -> subprocess.Popen:
    command = [
        sys.executable, "manage.py", "replay", str(path), "--url", desk.url, "--key", key, "--end", "keep",
        "--batch", "200", "--rate", "3000", "--state", f"{path}.state", "--give-up", "120",
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, env=desk.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(replay: subprocess.Popen) -> dict:
    out, err = replay.communicate(timeout=180)
    assert replay.returncode == 0, err.decode()[-2000:]
    return json.loads(out)


def stored(desk: RunningDesk) -> int:
    with database(desk) as link:
        return link.execute("SELECT count(*) FROM usage_event").fetchone()[0]


@pytest.mark.parametrize("child", CHILDREN)
def test_a_kill_in_the_middle_of_a_replay_loses_and_doubles_nothing(crashing, key, tmp_path, child):
    before = stored(crashing)
    replay = start_replay(crashing, key, write_trace(tmp_path, child))
    wait_for(lambda: stored(crashing) >= before + EVENTS // 6, 60)
    crashing.kill(child)
    summary = finish(replay)
    crashing.wait_ready()
    assert summary["accepted"] + summary["duplicates"] == EVENTS
    assert stored(crashing) == before + EVENTS
    assert_reconciled(crashing, before + EVENTS)


def assert_reconciled(desk: RunningDesk, events: int) -> None:
    """The desk's own workers catch up by themselves; then every tier agrees to the last unit."""

    wait_for(lambda: marks(desk) == 0, 60)
    proof = json.loads(desk.manage("reconcile", "--json"))
    assert proof["events"] == events
    assert {day["verdict"] for day in proof["days"]} == {"equal"}
    for day in proof["days"]:
        assert len({(tier["events"], tier["cost_usd"]) for tier in day["tiers"].values()}) == 1


@contextmanager
def broker_gone(desk: RunningDesk):
    """The broker refuses connections: killed, and its directory is away, so that no start of it succeeds."""
    place = desk.data_dir / "run" / "valkey"
    away = place.rename(place.with_name("valkey-away"))
    desk.kill("valkey")
    try:
        yield
    finally:
        away.rename(place)


@contextmanager
def broker_hanging(desk: RunningDesk):
    """The broker keeps its connections and answers nothing."""
    desk.kill("valkey", signal.SIGSTOP)
    try:
        yield
    finally:
        desk.kill("valkey", signal.SIGCONT)


def marks(desk: RunningDesk) -> int:
    with database(desk) as link:
        return link.execute("SELECT count(*) FROM usage_rollup_mark WHERE tier = 0").fetchone()[0]


@pytest.mark.parametrize("broken", [broker_gone, broker_hanging], ids=["gone", "hanging"])
def test_without_a_broker_events_are_taken_and_rolled_up_when_it_is_back(crashing, key, tmp_path, broken):
    """For seconds here; BROKER_AWAY_SECONDS=300 plays five minutes."""
    before = stored(crashing)
    with broken(crashing):
        until = time.monotonic() + AWAY_SECONDS
        assert finish(start_replay(crashing, key, write_trace(tmp_path, broken.__name__)))["accepted"] == EVENTS
        wait_for(lambda: crashing.readyz()[1].get("status") == "degraded", 20)
        while time.monotonic() < until:
            assert crashing.request("GET", "/accounts/login/")[0] == 200
            time.sleep(1)
        assert crashing.readyz()[1]["checks"]["broker"]["status"] == "failed"
        assert marks(crashing) > 0  # nobody rolled them up: it was away indeed
    crashing.wait_ready()
    assert_reconciled(crashing, before + EVENTS)


def test_a_read_only_database_answers_503_and_keeps_nothing_by_halves(crashing, key):
    before = stored(crashing)
    body = msgspec.json.encode([event(timezone.now(), event_id=f"read-only-{n}") for n in range(3)])
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with database(crashing) as link:
            link.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            link.execute("SELECT pg_reload_conf()")
        wait_for(lambda: crashing.request("POST", "/api/v1/events", body, **headers)[0] == 503, 20)
        assert stored(crashing) == before
    finally:
        with database(crashing) as link:
            link.execute("SET default_transaction_read_only = off")
            link.execute("ALTER SYSTEM RESET default_transaction_read_only")
            link.execute("SELECT pg_reload_conf()")
    wait_for(lambda: crashing.request("POST", "/api/v1/events", body, **headers)[0] == 202, 20)
    assert stored(crashing) == before + 3
