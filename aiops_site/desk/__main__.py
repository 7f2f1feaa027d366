"""Start a desk and run it until Ctrl-C: `python -m aiops_site.desk` (after `bootstrap`; `make run` does both).

Reads PORT, BIND, DATA_DIR, DATABASE_URL, BROKER_URL and DEMO from the environment (docs/settings.md).
"""

import ctypes
import http.client
import os
import signal
import sys
from pathlib import Path

from aiops_site.desk import environment, preflight, services
from aiops_site.desk.leash import PR_SET_PDEATHSIG
from aiops_site.desk.logs import Console
from aiops_site.desk.places import PlaceError
from aiops_site.desk.postgres import EmbeddedPostgres, PostgresError
from aiops_site.desk.supervisor import ServiceFailed, StopRequested, Supervisor
from aiops_site.desk.valkey import EmbeddedValkey

READY_SECONDS = 60.0
FIRST_ACCOUNT = "Make the first account: .venv/bin/python manage.py createadmin --email you@example.com"


class Desk:
    """One desk: where it lives, how it is reached, and what it runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.data_dir = Path(os.environ.get("DATA_DIR") or Path(services.ROOT) / ".data").resolve()
        self.bind = os.environ.get("BIND", "127.0.0.1")
        self.port = preflight.parse_port(os.environ.get("PORT", "8000"))
        self.host = "localhost" if self.bind in ("127.0.0.1", "0.0.0.0", "::", "::1") else self.bind  # noqa: S104
        self.url = f"http://{self.host}:{self.port}/"
        self.ready = False
        self.logins = ""  # of the demo's people, where there is a demo

    def check(self) -> None:
        """Refuse what cannot work, cheapest and clearest first; takes the lock. Raises Refusal."""
        preflight.check_data_dir(self.data_dir)
        self.lock = preflight.lock(self.data_dir)
        preflight.check_disk(self.data_dir)
        preflight.check_port(self.bind, self.port)
        (self.data_dir / "logs").mkdir(exist_ok=True)
        (self.data_dir / "run").mkdir(exist_ok=True)
        environment.ensure_secret_key(self.data_dir)

    def write_state(self, supervisor: Supervisor) -> None:
        """Tell the outside (desk.json) who runs."""
        running = {c.service.name: c.process.pid for c in supervisor.children if c.restart_at is None}
        environment.write_state(self.data_dir, self.url, running, ready=self.ready)

    def start_servers(self, supervisor: Supervisor) -> None:
        """Start the embedded servers that are not replaced by real ones, and set `self.environ` for the rest."""
        urls = {name: os.environ[name] for name in ("DATABASE_URL", "BROKER_URL") if os.environ.get(name)}
        bare = environment.child_environment(self.data_dir, {})
        if "BROKER_URL" not in urls:
            broker = EmbeddedValkey(self.data_dir)
            broker.prepare()
            supervisor.start(services.valkey(broker, bare))
            supervisor.wait_until(broker.is_ready, "Valkey", READY_SECONDS)
            urls["BROKER_URL"] = broker.url
        if "DATABASE_URL" not in urls:
            urls["DATABASE_URL"] = self.start_postgres(supervisor, bare)
        environment.write_desk_env(self.data_dir, urls)
        self.environ = environment.child_environment(self.data_dir, urls | {"PORT": str(self.port), "BIND": self.bind})

    def start_postgres(self, supervisor: Supervisor, bare: dict[str, str]) -> str:
        """Start the embedded PostgreSQL; a new cluster is remembered as one that wants demo data."""
        server = EmbeddedPostgres(self.data_dir)
        if server.prepare():
            (self.data_dir / "demo.wanted").touch()
        supervisor.start(services.postgres(server, bare))
        supervisor.wait_until(server.is_ready, "PostgreSQL", READY_SECONDS)
        return server.url

    def prepare(self, supervisor: Supervisor) -> None:
        """Static files and migrations, side by side."""
        static = supervisor.begin(
            services.manage("static", ["collectstatic", "--noinput", "-v0"], self.environ, quiet=True)
        )
        supervisor.finish(supervisor.begin(services.manage("migrate", ["migrate", "--noinput", "-v0"], self.environ)))
        supervisor.finish(static)

    def start_processes(self, supervisor: Supervisor) -> None:
        """Start web, workers and beat; they load while the demo data is made, then the web server must be ready."""
        supervisor.start(services.web(self.environ))
        for queue in services.QUEUES:
            supervisor.start(services.worker(queue, self.environ))
        supervisor.start(services.beat(self.data_dir, self.environ))
        self.prepare_demo(supervisor)
        supervisor.wait_until(self.answers, "The web server", READY_SECONDS)

    def prepare_demo(self, supervisor: Supervisor) -> None:
        """Make the demo data in a database of ours at its first start, and bring it up to now at later ones.

        DEMO=1 makes it anywhere, DEMO=0 leaves it alone. What the command reports (logins) is shown at the end.
        """
        choice, wanted = os.environ.get("DEMO", ""), self.data_dir / "demo.wanted"
        if choice == "0":
            wanted.unlink(missing_ok=True)
            return
        if choice == "1" or wanted.exists():
            self.console.say("Making demo data, about half a minute (DEMO=0 leaves it out) …")
            self.logins = self.run_demo(supervisor, ["demo", "create"])
        else:
            self.logins = self.run_demo(supervisor, ["demo", "create", "--if-present"])
        if self.logins:
            wanted.unlink(missing_ok=True)
            supervisor.start(services.demo(self.environ))

    def run_demo(self, supervisor: Supervisor, command: list[str]) -> str:
        """Output of a demo command; "" with a message when it failed, which is no reason not to start."""
        step = supervisor.begin(services.manage("demo", command, self.environ, quiet=True))
        try:
            supervisor.finish(step)
        except ServiceFailed as problem:
            self.console.say(f"The desk goes on without demo data; the next start tries again. {problem}")
            return ""
        return "\n".join(step.tail)

    def answers(self) -> bool:
        """True when /readyz answers 200."""
        link = http.client.HTTPConnection("127.0.0.1" if self.host == "localhost" else self.host, self.port, timeout=5)
        try:
            link.request("GET", "/readyz", headers={"Host": "localhost"})
            return link.getresponse().status == 200
        except OSError:
            return False
        finally:
            link.close()

    def announce(self, supervisor: Supervisor) -> None:
        """Say where the desk is and how to get in."""
        self.ready = True
        self.write_state(supervisor)
        self.console.say(f"\n{self.logins or FIRST_ACCOUNT}\n")
        self.console.say(f"AI Ops Desk is ready: {self.url}   (Ctrl-C stops it; data: {self.data_dir})\n")

    def run(self) -> None:
        """Start everything, run until asked to stop, stop everything."""
        supervisor = Supervisor(self.data_dir / "logs", self.console, self.write_state)
        try:
            self.start_servers(supervisor)
            self.prepare(supervisor)
            self.start_processes(supervisor)
            self.announce(supervisor)
            supervisor.run()
        except StopRequested:
            self.console.say("\nStopping …")
        finally:
            supervisor.stop(services.STOP_ORDER)
            (self.data_dir / "desk.json").unlink(missing_ok=True)
        self.console.say("Stopped.")


def follow_parent() -> None:
    """Stop when the process that started us goes (Linux): `make` or a test that was killed leaves no desk behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Exit code 0 after a clean stop, 1 with a message when the desk could not start."""
    console = Console()
    if "--follow-parent" in sys.argv[1:]:
        follow_parent()
    try:
        desk = Desk(console)
        desk.check()
        desk.run()
    except (preflight.Refusal, PlaceError, PostgresError, ServiceFailed) as problem:
        console.say(f"\nThe desk did not start. {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
