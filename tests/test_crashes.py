"""kill -9 in the middle of a replay: what was acknowledged is there exactly once, in events and in every roll-up.

And of the worker between an alert that fired and its message: it is sent, and shown once.
"""

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
from celery import Celery
from django.utils import timezone

from aiops_site.desk.supervisor import wait_for
from tests.running_desk import ROOT, RunningDesk, new_desk
from tests.test_launcher import database, written
from tests.traffic import event
from tests.web_receiver import receiver

EVENTS = 9_000
AWAY_SECONDS = float(os.environ.get("BROKER_AWAY_SECONDS", "10"))
CHILDREN = ("web", "worker-realtime", "worker-batch", "beat", "valkey", "postgres")


@pytest.fixture(scope="module")
def crashing():
    with new_desk(OUTBOUND_ALLOWED_NETWORKS="127.0.0.0/8") as running:
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


# --- Between "fired" and "sent" -------------------------------------------------------------------------------------
EVALUATE = "incidents.tasks.alert_rules.evaluate_rules"
# A rule over what every desk of these tests has, not active yet, and a channel of its team that takes everything.
WATCHING = """
from accounts.actions import Author
from accounts.models import Team
from incidents.actions.channels import ChannelFacts, add_channel
from incidents.models import AlertRule, NotificationRoute, RunbookSection
team = Team.objects.get(slug="crash")
facts = ChannelFacts(name="pager", kind="webhook", address={address!r})
channel, _ = add_channel(author=Author(label="test"), team=team, user=None, facts=facts)
NotificationRoute.objects.create(team=team, channel=channel)
section = RunbookSection.objects.get(runbook__slug="safety-incident", kind="containment")
rule = AlertRule.objects.create(
    slug="killed", name="Fired and killed", kind="threshold", metric="requests", threshold=0, window_seconds=3600,
    severity="critical", route="page", first_mitigation="None", runbook_section=section, team=team, is_active=False)
print(channel.pk, rule.pk)
"""


def told(desk: RunningDesk) -> list[tuple[str, int]]:
    """(state, attempts) of every delivery about it."""
    with database(desk) as link:
        found = link.execute("SELECT state, attempts FROM incidents_delivery WHERE title LIKE '%Fired and killed%'")
        return found.fetchall()


def evaluate_now(desk: RunningDesk) -> None:
    """Have the desk's worker evaluate its rules, without the half minute until the clock does."""
    with Celery(broker=written(desk, "BROKER_URL")) as app:
        app.send_task(EVALUATE, queue="realtime")


def test_a_worker_killed_between_fired_and_sent_has_its_successor_send_it_once(crashing, key):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    crashing.request(
        "POST", "/api/v1/events", msgspec.json.encode([event(timezone.now(), event_id="fired")]), **headers
    )
    with receiver() as pager, database(crashing) as link:
        made = crashing.manage("shell", "-v", "0", "-c", WATCHING.format(address=pager.url))
        channel, rule = map(int, made.split())
        # Who sends passes over a channel that is locked: nothing leaves while this is held.
        with link.transaction():
            link.execute("SELECT 1 FROM incidents_channel WHERE id = %s FOR NO KEY UPDATE", [channel])
            with database(crashing) as other:
                other.execute("UPDATE incidents_alertrule SET is_active = true WHERE id = %s", [rule])
            wait_for(lambda: marks(crashing) == 0, 60)
            evaluate_now(crashing)
            wait_for(lambda: told(crashing), 60)
            crashing.kill_and_wait("worker-realtime")
            assert (told(crashing), pager.received) == ([("waiting", 0)], [])
        evaluate_now(crashing)
        wait_for(lambda: told(crashing) == [("sent", 1)], 60)
        alerts = link.execute("SELECT count(*) FROM incidents_alert WHERE rule_id = %s", [rule]).fetchone()
        link.execute("UPDATE incidents_channel SET is_active = false WHERE id = %s", [channel])
    (body,) = [one.body for one in pager.received if b"Fired and killed" in one.body]
    assert json.loads(body)["type"] == "alert"
    assert alerts == (1,)
