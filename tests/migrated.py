"""A database with every migration applied: made once, then copied for each test process and each whole desk.

Migrating an empty one takes ten seconds of CPU, a copy less than one.
"""

import fcntl
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from aiops_site.desk import places
from aiops_site.desk.postgres import BINARIES, PORT, EmbeddedPostgres
from tests import servers

NAME = "migrated"
ROOT = Path(__file__).resolve().parent.parent


def made() -> EmbeddedPostgres | None:
    """The tests' own server, which has the database NAME from now on; None with a server of the environment.

    One process makes it, the others wait.
    """
    server = servers.own_postgres()
    if server:
        with (server.data_dir / "migrated.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _cluster(server).exists():
                _make(server)
    return server


def _cluster(server: EmbeddedPostgres) -> Path:
    """Where the copy of the whole server is, as it was with nothing but the migrated database of a desk."""
    return server.data_dir / "migrated"


def _make(server: EmbeddedPostgres) -> None:
    """Nobody else uses a database yet, nor ever one called NAME, which would keep it from being copied."""
    subprocess.run([sys.executable, "manage.py", "migrate", "--noinput", "-v0"], cwd=ROOT, check=True)
    fresh = server.data_dir / "migrated.new"
    places.own_directory(fresh, server.user)
    whence = ["-h", server.socket_dir, "-p", str(PORT), "-U", "postgres"]
    command = [BINARIES / "pg_basebackup", *whence, "-D", fresh, "--checkpoint=fast", "--no-sync"]
    subprocess.run(command, cwd="/", check=True, **places.identity(server.user))
    with psycopg.connect(server.url, dbname="postgres", autocommit=True) as link:
        link.execute(f"ALTER DATABASE desk RENAME TO {NAME}")
        link.execute("CREATE DATABASE desk")
    fresh.rename(_cluster(server))


def furnish(data_dir: Path) -> None:
    """Give a desk that has not been started yet its migrated database, where we have one."""
    if server := made():
        data_dir.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", _cluster(server), data_dir / "postgres"], check=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix) -> None:
    """pytest-django's own, and the database of this process begins as a copy."""
    if made():
        settings.DATABASES["default"].setdefault("TEST", {})["TEMPLATE"] = NAME
