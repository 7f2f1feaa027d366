"""A disk that is full: a clear 503, nothing half written, and ingest goes on once there is room again.

The full disk is a real one, a file system of a few megabytes in memory, where this user may mount one. Where it is met
inside a transaction is played through by a trigger that raises what PostgreSQL raises then.
"""

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from aiops_site.desk import places
from aiops_site.desk.supervisor import wait_for
from tests import migrated
from tests.cast import make_key, make_team
from tests.ingest import event, send
from tests.running_desk import RunningDesk
from tests.test_crashes import assert_reconciled, stored
from usage import partitions
from usage.models import BatchLedger, RollupMark, UsageEvent
from usage.rollups.sql import MINUTE_FROM_EVENTS
from usage.tasks.rollups import drain_minutes

KEY = {"Idempotency-Key": "k1"}
NEW, KNOWN = [event(f"new-{n}") for n in range(300)], [event(f"known-{n}") for n in range(3)]
BODIES = {
    "one event": NEW[:1],
    "a batch": NEW,
    "a batch that is staged": [*KNOWN, *NEW],
}


@contextmanager
def small_disk(megabytes: int):
    """A file system of so many megabytes that is gone afterwards; skips the test where none can be mounted."""
    place = Path(tempfile.mkdtemp(prefix="desk-small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "desk-test", str(place)]
    try:
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("needs the right to mount a file system")
        try:
            yield place
        finally:
            # Lazily: a server that was just told to forget the files may still hold one open.
            subprocess.run(["umount", "--lazy", str(place)], check=True)
    finally:
        place.rmdir()


def fill(disk: Path) -> Path:
    """A file that takes all the room there is left; remove it to have room again."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
                file.flush()
        except OSError:
            return ballast


# --- Inside the transaction -----------------------------------------------------------------------------------------


@pytest.fixture
def committing_key(transactional_db) -> str:
    """A key of a team whose rows are really committed, and which has sent KNOWN already."""
    partitions.ensure(timezone.now())
    return make_key(make_team("busy"))[1]


@contextmanager
def full_at(table: str, moment: str):
    """While inside, writing `table` fails as on a full disk: at once, or at COMMIT (`DEFERRED`)."""
    kind, when = ("CONSTRAINT ", "DEFERRABLE INITIALLY DEFERRED ") if moment == "commit" else ("", "")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        cursor.execute(
            f"CREATE {kind}TRIGGER full_disk AFTER INSERT ON {table} {when}FOR EACH ROW EXECUTE FUNCTION no_room()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER full_disk ON {table}")
            cursor.execute("DROP FUNCTION no_room()")


def rows() -> tuple[int, int, int]:
    return UsageEvent.objects.count(), BatchLedger.objects.count(), RollupMark.objects.count()


def assert_refused(answer) -> None:
    """A client learns that nothing was kept and when to come back."""
    assert answer.status_code == 503, answer.content
    assert int(answer["Retry-After"]) >= 1
    error = answer.json()["error"]
    assert error["code"] == "database_unavailable"
    assert "Nothing of this request was kept" in error["message"] and error["fix"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("moment", ["insert", "commit"])
@pytest.mark.parametrize("table", ["usage_event", "usage_rollup_mark", "usage_batch_ledger"])
def test_a_disk_that_fills_up_anywhere_in_the_transaction_leaves_nothing(committing_key, client, table, moment, body):
    assert send(client, committing_key, KNOWN).json()["accepted"] == len(KNOWN)
    before = rows()
    with full_at(table, moment):
        assert_refused(send(client, committing_key, body, **KEY))
        assert rows() == before
    answer = send(client, committing_key, body, **KEY)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == len([one for one in body if one in NEW])
    assert "Idempotency-Replayed" not in answer


def test_a_roll_up_without_room_leaves_its_marks_and_is_a_line_in_the_log_not_a_traceback(committing_key, client):
    send(client, committing_key, NEW)
    before = RollupMark.objects.count()
    with full_at(MINUTE_FROM_EVENTS[0].target, "insert"):
        outcome = drain_minutes.apply()
    assert isinstance(outcome.result, drain_minutes.throws)
    assert RollupMark.objects.count() == before > 0
    assert drain_minutes.apply().get() == before


# --- A disk that is full --------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_table(committing_key):
    """The key of a team, and the small disk on which this day's events are kept."""
    if "host=" not in os.environ["DATABASE_URL"]:
        pytest.skip("needs a PostgreSQL on this machine's own disk")
    table = partitions.partition_name("usage_event", datetime.fromisoformat(NEW[0]["occurred_at"]).date())
    with small_disk(8) as disk:
        place = disk / "events"
        places.own_directory(place, places.server_user())
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLESPACE tiny LOCATION '{place}'")
            cursor.execute(f"TRUNCATE {table}")  # a page with room in it would take a small batch
            cursor.execute(f"ALTER TABLE {table} SET TABLESPACE tiny")
        try:
            yield committing_key, disk
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default")
                cursor.execute("CHECKPOINT")  # until then the old files keep the tablespace from being dropped
                cursor.execute("DROP TABLESPACE tiny")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_full_disk_under_the_events_is_503_and_ingest_goes_on_when_there_is_room(tiny_table, client, body):
    key, disk = tiny_table
    ballast = fill(disk)
    assert_refused(send(client, key, body, **KEY))
    assert rows() == (0, 0, 0)
    ballast.unlink()
    assert send(client, key, body, **KEY).json()["accepted"] == len(body)
    assert UsageEvent.objects.count() == len(body)


# --- A whole desk on it ---------------------------------------------------------------------------------------------


@pytest.fixture
def desk_on_small_disk():
    """A desk all of whose data, logs and queues are on a disk of 800 MB."""
    with small_disk(800) as disk:
        desk = RunningDesk(disk / "data")
        migrated.furnish(desk.data_dir)
        desk.start()
        try:
            yield desk, disk
        finally:
            desk.stop()
            desk.wait_gone()


def test_a_desk_whose_whole_disk_is_full_refuses_and_works_again_by_itself(desk_on_small_disk):
    """Database, logs, queue and supervisor all meet the full disk at once."""
    desk, disk = desk_on_small_disk
    key = desk.manage("apikey", "create", "--team", "full", "--create-team", "--scopes", "ingest,read").strip()
    assert post(desk, key, "before") == 202
    ballast = fill(disk)
    answers = [post(desk, key, f"full-{number}") for number in range(10)]
    assert set(answers) <= {202, 503} and answers[-1] == 503
    assert desk.request("GET", "/accounts/login/")[0] == 200
    ballast.unlink()
    wait_for(lambda: post(desk, key, "after") == 202, 60)
    desk.wait_ready()
    kept = (answers.count(202) + 2) * len(NEW)
    assert stored(desk) == kept
    assert_reconciled(desk, kept)
    assert "Traceback" not in desk.output


def post(desk: RunningDesk, key: str, name: str) -> int:
    """Send a batch of as many events as NEW; returns the status."""
    body = json.dumps([event(f"{name}-{number}", note="x" * 200) for number in range(len(NEW))]).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return desk.request("POST", "/api/v1/events", body, **headers)[0]
