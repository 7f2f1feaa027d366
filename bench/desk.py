"""A desk of the benchmark's own: started by the supervisor as `make run` does, thrown away afterwards."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.connection import Connection

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
# What another desk's settings would bend.
_NOT_INHERITED = ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "DEBUG", "DJANGO_SETTINGS_MODULE")
WORKERS = ("worker-realtime", "worker-batch", "worker-backfill", "beat")


class DeskFailed(Exception):
    """The desk did not start, or a command beside it failed; the message has its output."""


def wait_for(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Raises DeskFailed naming `what` when `ready()` is not true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise DeskFailed(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(0.1)


class BenchDesk:
    """A running desk without demo data, its addresses, and commands beside it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        self.environment = inherited | {"DATA_DIR": str(data_dir), "PORT": str(self.port), "DEMO": "0"}

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "output.txt").open("wb") as output:
            command = [sys.executable, "-m", "aiops_site.desk", "--follow-parent"]
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_for(self._is_up, START_SECONDS, "The desk's start")

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise DeskFailed((self.data_dir / "output.txt").read_text())
        return bool(self._state().get("ready"))

    def _state(self) -> dict:
        try:
            return json.loads((self.data_dir / "desk.json").read_text())
        except FileNotFoundError:
            return {}

    def pids(self) -> dict[str, int]:
        """Process ids of the desk's children by name."""
        return self._state()["children"]

    @property
    def database_url(self) -> str:
        for line in (self.data_dir / "desk.env").read_text().splitlines():
            if line.startswith("DATABASE_URL="):
                return line.partition("=")[2].strip("'")
        raise DeskFailed("desk.env names no database")

    def database(self) -> psycopg.Connection:
        """A connection of its own, every statement a transaction."""
        return psycopg.connect(self.database_url, autocommit=True)

    def connect(self) -> Connection:
        """A keep-alive connection to the web server."""
        return Connection(self.port)

    def manage(self, *arguments: str, **environment: str) -> str:
        """Output of a `manage.py` command. Raises DeskFailed when it fails."""
        return self.run("manage.py", *arguments, **environment)

    def run(self, *arguments: str, **environment: str) -> str:
        """Output of a Python program beside the desk. Raises DeskFailed when it fails."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise DeskFailed(f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def key(self, team: str) -> str:
        """A new API key of a team, which is made if it is not there."""
        return self.manage("apikey", "create", "--team", team, "--scopes", "ingest,read", "--create-team")

    @contextmanager
    def paused_workers(self) -> Iterator[None]:
        """Workers and beat stand still inside, so that what is measured is not shared with roll-ups."""
        pids = [pid for name, pid in self.pids().items() if name in WORKERS]
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    @staticmethod
    def _signal(pids: list[int], signum: int) -> None:
        for pid in pids:
            os.kill(pid, signum)

    def restart_web(self) -> None:
        """A fresh web server: the supervisor starts another one."""
        old = self.pids()["web"]
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: self.pids().get("web") not in (None, old) and self._answers(), START_SECONDS, "The web server")

    def _answers(self) -> bool:
        try:
            link = self.connect()
        except OSError:
            return False
        with link:
            return link.get("/readyz").status == 200

    def wait_drained(self, *, tiers: int = 3, seconds: float = 3600) -> float:
        """Seconds until no mark is left in the lowest `tiers` tiers (1: minutes, 2: hours too, 3: days too)."""
        began = time.monotonic()
        with self.database() as database:
            wait_for(lambda: not self._has_marks(database, tiers), seconds, "Draining the roll-up marks")
        return time.monotonic() - began

    @staticmethod
    def _has_marks(database: psycopg.Connection, tiers: int) -> bool:
        found = database.execute("SELECT EXISTS (SELECT FROM usage_rollup_mark WHERE tier < %s)", [tiers]).fetchone()
        return found == (True,)

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(90)


@contextmanager
def running_desk() -> Iterator[BenchDesk]:
    """A desk that is up; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="desk-bench-", ignore_cleanup_errors=True) as place:
        desk = BenchDesk(Path(place) / "data")
        try:
            desk.start()
            yield desk
        finally:
            desk.stop()
