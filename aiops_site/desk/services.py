"""The processes of a desk and the order in which they stop."""

import signal
import sys
from dataclasses import replace
from pathlib import Path

from aiops_site.desk.children import Service
from aiops_site.desk.postgres import EmbeddedPostgres
from aiops_site.desk.valkey import EmbeddedValkey

ROOT = str(Path(__file__).resolve().parent.parent.parent)
QUEUES = ["realtime", "batch", "backfill"]
# Celery warns of root at every start of every worker; as root the whole desk is, and it has said so by then.
CELERY = [sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "-A", "aiops_site"]
STOP_ORDER = [["web", "demo-live"], [f"worker-{queue}" for queue in QUEUES], ["beat"], ["valkey"], ["postgres"]]


def postgres(server: EmbeddedPostgres, environment: dict[str, str]) -> Service:
    """The database; SIGINT is its "fast" shutdown: end the sessions, write a checkpoint."""
    return Service(
        "postgres",
        server.command(),
        environment,
        user=server.user,
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGINT,
        patience=60,
        quiet=True,
    )


def valkey(server: EmbeddedValkey, environment: dict[str, str]) -> Service:
    """The broker."""
    return Service("valkey", server.command(), environment, patience=3, quiet=True)


def manage(name: str, arguments: list[str], environment: dict[str, str], *, quiet: bool = False) -> Service:
    """A `manage.py` command as a step called `name`."""
    command = [sys.executable, "manage.py", *arguments]
    return Service(name, command, environment, cwd=ROOT, orphan_signal=signal.SIGKILL, quiet=quiet)


def web(environment: dict[str, str]) -> Service:
    """The web server, set up by gunicorn.conf.py."""
    command = [sys.executable, "-m", "gunicorn", "aiops_site.wsgi"]
    return Service("web", command, environment, cwd=ROOT, patience=12)


def worker(queue: str, environment: dict[str, str]) -> Service:
    """One process for one queue: what is in real time never waits behind a batch, and a crash takes one task along.

    The solo pool has no child processes: half the memory of prefork, and nothing left behind when it is killed. A task
    that is cut off is done again, because every task is idempotent and acknowledged late.
    """
    celery = [*CELERY, "worker", "--pool", "solo"]
    options = ["-Q", queue, "-n", f"{queue}@%h", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    environment = environment | {"CELERY_SKIP_CHECKS": "1"}  # they load every page; `migrate` has just made them
    return Service(f"worker-{queue}", celery + options, environment, cwd=ROOT, orphan_signal=signal.SIGKILL, patience=8)


def beat(data_dir: Path, environment: dict[str, str]) -> Service:
    """The clock that puts the periodic tasks on the queues."""
    celery = [*CELERY, "beat", "--loglevel", "WARNING", "--pidfile="]
    schedule = ["--schedule", str(data_dir / "run" / "beat-schedule")]
    return Service("beat", celery + schedule, environment, cwd=ROOT, patience=3)


def demo(environment: dict[str, str]) -> Service:
    """Goes on making demo events as time passes, so that the views of "now" are never empty; ends with the demo."""
    return replace(manage("demo-live", ["demo", "live"], environment, quiet=True), may_end=True)
