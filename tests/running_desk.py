"""A whole desk as a user has it: started through the supervisor in a directory of its own, driven from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from aiops_site.desk.supervisor import wait_for
from tests import migrated

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 180
# What the tests' own Django needs and the desk must not inherit.
NOT_INHERITED = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "BROKER_URL", "SECRET_KEY", "DEBUG")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RunningDesk:
    """A desk process; `start` it, ask it, `kill` a child of it, `stop` it."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir, self.port = data_dir, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        own = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "DEMO": "0", "WEB_CONCURRENCY": "1"}
        self.environment = inherited | own | environment
        self.process: subprocess.Popen | None = None

    def start(self) -> "RunningDesk":
        """Start it and wait until it says that it is ready."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Start it without waiting; its output goes to `output`."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "aiops_site.desk", "--follow-parent"]
        with (self.data_dir / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        """What it has printed so far, over all its starts."""
        return (self.data_dir / "output.txt").read_text()

    def state(self) -> dict:
        """desk.json: pid, url, ready, children by name."""
        try:
            return json.loads((self.data_dir / "desk.json").read_text())
        except FileNotFoundError:
            return {"pid": 0, "ready": False, "children": {}}

    def pids(self) -> dict[str, int]:
        """Process ids of the children by name: valkey, postgres, web, worker-realtime, worker-batch, …, beat."""
        return self.state()["children"]

    def wait_ready(self, status: str = "ok") -> None:
        """Wait until the desk is up, all children run and /readyz says `status`."""
        try:
            wait_for(lambda: self.is_up() and self.readyz()[1].get("status") == status, START_SECONDS)
        except TimeoutError:
            pytest.fail(f"The desk was not ready ({self.readyz()}):\n{self.output}")

    def is_up(self) -> bool:
        """True when it has announced itself. Fails the test when it has ended instead."""
        if self.process.poll() is not None:
            pytest.fail(f"The desk ended with code {self.process.returncode}:\n{self.output}")
        return self.state()["ready"]

    def readyz(self) -> tuple[int, dict]:
        """(status, JSON) of /readyz; (0, {}) when nobody answers."""
        try:
            status, body = self.request("GET", "/readyz")
            return status, json.loads(body)
        except (OSError, http.client.HTTPException):
            return 0, {}

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One HTTP request; raises OSError when the desk cannot be reached."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, body=body, headers=headers)
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def kill(self, name: str, signum: int = signal.SIGKILL) -> int:
        """Signal a child by name (kill -9 unless told otherwise); returns its process id."""
        pid = self.pids()[name]
        os.kill(pid, signum)
        return pid

    def kill_and_wait(self, name: str) -> None:
        """kill -9 a child and wait until it runs again and the desk is ready."""
        old = self.kill(name)
        wait_for(lambda: self.pids().get(name) not in (None, old), START_SECONDS)
        self.wait_ready()

    def manage(self, *arguments: str) -> str:
        """Output of a `manage.py` command beside the running desk; fails the test when it fails."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(60)

    def leftovers(self) -> list[str]:
        """Command lines of processes that still work on this desk's directory."""
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if str(self.data_dir) in line]

    def wait_gone(self, seconds: float = 20) -> None:
        """Wait until no process of this desk is left; fails the test otherwise."""
        deadline = time.monotonic() + seconds
        while left := self.leftovers():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.1)


@contextmanager
def new_desk(*, furnished: bool = True, **environment: str):
    """A desk that is up, in a new directory; stopped at the end, and nothing of it may be left.

    A `furnished` one begins with a migrated database, where we have one to copy; else it makes its own from nothing.
    Not below pytest's tmp_path: every run of pytest closes that to other users again, and as root the database belongs
    to another user.
    """
    with tempfile.TemporaryDirectory(prefix="desk-", ignore_cleanup_errors=True) as place:
        running = RunningDesk(Path(place) / "data", **environment)
        if furnished:
            migrated.furnish(running.data_dir)
        yield running.start()
        running.stop()
        running.wait_gone()


@pytest.fixture(scope="session")
def desk():
    """A desk without demo data, shared by the tests of a process; leave it running and ready."""
    with new_desk() as running:
        yield running
