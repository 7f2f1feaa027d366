"""`make run`: what it refuses and why, that crashes heal, that nothing is left behind, that data stays."""

import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from aiops_site.desk import bootstrap, places, preflight
from aiops_site.desk.supervisor import wait_for
from tests.running_desk import START_SECONDS, RunningDesk, free_port, new_desk

MARK = "insert into usage_rollup_mark (tier, team_id, bucket) values (0, 1, date_trunc('minute', now()))"


@pytest.fixture(scope="module")
def own_desk():
    """A desk for this file alone, which kills it in every way; its first start is from nothing, as a user's is."""
    with new_desk(furnished=False) as running:
        yield running


def written(desk: RunningDesk, name: str) -> str:
    """An address that the desk wrote to desk.env."""
    lines = (desk.data_dir / "desk.env").read_text().splitlines()
    return next(line.partition("=")[2].strip("'") for line in lines if line.startswith(f"{name}="))


def database(desk: RunningDesk) -> psycopg.Connection:
    """A connection to the desk's database."""
    return psycopg.connect(written(desk, "DATABASE_URL"), autocommit=True)


def refusal(data_dir: Path, **environment: str) -> str:
    """Output of a desk that must not start."""
    desk = RunningDesk(data_dir, **environment)
    desk.launch()
    assert desk.process.wait(30) == 1
    return desk.output


def test_an_old_python_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer; .* is Python 3\.9"):
        runpy.run_path(bootstrap.__file__, run_name="__main__")


def test_the_stamp_follows_the_requirements(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    (tmp_path / "requirements.txt").write_text("Django==5.2.19\n")
    before = bootstrap.stamp(["requirements.txt"])
    (tmp_path / "requirements.txt").write_text("Django==5.2.20\n")
    assert bootstrap.stamp(["requirements.txt"]) != before


def test_a_port_in_use_is_named_with_a_way_out(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(tmp_path / "data", PORT=str(port))
    assert f"Port {port} on 127.0.0.1 cannot be used" in said
    assert "make run PORT=" in said


def test_a_port_that_is_none_is_refused(tmp_path):
    assert "PORT=80a is not a port" in refusal(tmp_path / "data", PORT="80a")


def test_a_data_dir_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(preflight.Refusal, match=r"cannot be written.*Choose another"):
        preflight.check_data_dir(tmp_path / "file" / "data")


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "MINIMUM_FREE_BYTES", 10**18)
    with pytest.raises(preflight.Refusal, match="MB are free"):
        preflight.check_disk(tmp_path)


def test_a_data_dir_of_another_postgres_version_is_refused(tmp_path):
    desk = RunningDesk(tmp_path / "data")
    cluster = desk.data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("15\n")
    assert "was made by PostgreSQL 15, this desk brings 18" in refusal(desk.data_dir)


def test_a_long_data_dir_gets_its_sockets_elsewhere(tmp_path):
    far = tmp_path / ("long-name-" * 9)
    assert len(str(places.socket_directory(far, "pg", ".s.PGSQL.5432") / ".s.PGSQL.5432")) < 100
    assert places.socket_directory(far, "pg", "s") == places.socket_directory(far, "pg", "s")


def test_it_is_up_with_every_process(own_desk):
    workers = {f"worker-{queue}" for queue in ("realtime", "batch", "backfill")}
    assert set(own_desk.pids()) == {"postgres", "valkey", "web", "beat"} | workers
    assert own_desk.readyz()[1]["status"] == "ok"
    assert own_desk.url.rpartition(":")[2] in own_desk.output


def test_its_secrets_are_private(own_desk):
    for name in ("secret_key", "desk.env", "desk.json"):
        assert (own_desk.data_dir / name).stat().st_mode & 0o077 == 0
    assert (own_desk.data_dir / "run" / "valkey").stat().st_mode & 0o077 == 0
    assert (own_desk.data_dir / "run" / "pg").stat().st_mode & 0o077 == 0


def test_manage_py_beside_it_needs_no_settings(own_desk):
    key = own_desk.manage("apikey", "create", "--team", "launcher", "--create-team", "--scopes", "ingest")
    assert key.strip()
    with database(own_desk) as db:
        assert db.execute("select count(*) from accounts_apikey").fetchone() == (1,)


def test_a_second_desk_on_the_same_data_is_refused_and_shown_the_first(own_desk):
    second = subprocess.run(
        [sys.executable, "-m", "aiops_site.desk"],
        env=own_desk.environment | {"PORT": str(free_port())},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert second.returncode == 1
    assert f"(process {own_desk.process.pid})" in second.stdout
    assert f"http://localhost:{own_desk.port}/" in second.stdout


@pytest.mark.parametrize("name", ["postgres", "valkey", "web", "worker-realtime", "worker-backfill", "beat"])
def test_a_killed_process_comes_back_and_the_desk_works(own_desk, name):
    own_desk.kill_and_wait(name)
    with database(own_desk) as db:
        db.execute(MARK)
        wait_for(lambda: db.execute("select count(*) from usage_rollup_mark where tier = 0").fetchone() == (0,), 30)


def test_nothing_is_left_when_the_supervisor_is_killed_and_the_data_stays(own_desk):
    with database(own_desk) as db:
        before = db.execute("select id, digest from accounts_apikey").fetchall()
    own_desk.process.kill()
    own_desk.process.wait()
    own_desk.wait_gone()
    own_desk.start()
    with database(own_desk) as db:
        assert db.execute("select id, digest from accounts_apikey").fetchall() == before


def test_ctrl_c_stops_it_cleanly_within_seconds(own_desk):
    assert own_desk.stop() == 0
    own_desk.wait_gone(seconds=1)
    assert "database system is shut down" in (own_desk.data_dir / "logs" / "postgres.log").read_text().splitlines()[-1]


def test_it_stops_when_whoever_started_it_is_killed(own_desk):
    own_desk.stop()
    launch = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    parent = subprocess.Popen(
        [*launch, sys.executable, "-m", "aiops_site.desk", "--follow-parent"],
        env=own_desk.environment,
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: own_desk.state()["ready"], START_SECONDS)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: own_desk.state()["pid"] == 0, 20)
    assert not own_desk.leftovers()
