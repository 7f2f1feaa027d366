"""Postgres and Valkey for the tests: the desk's embedded ones in a temporary directory, or those of the environment.

Started once, by the process that runs pytest; its xdist workers inherit the addresses. The kernel ends the servers with
that process, however it ends.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from aiops_site.desk import environment, services
from aiops_site.desk.children import Child, Service
from aiops_site.desk.postgres import FAST_AND_FORGETFUL, EmbeddedPostgres
from aiops_site.desk.supervisor import wait_for
from aiops_site.desk.valkey import EmbeddedValkey

START_SECONDS = 30


def provide() -> None:
    """Set what the settings read before Django does; servers that are named in the environment are used as they are."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["SECRET_KEY"] = "only for tests " * 4
    os.environ["DEBUG"] = "0"
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["BROKER_URL"] = f"{os.environ['BROKER_URL']}?virtual_host={worker.removeprefix('gw')}"
        return
    place = Path(tempfile.mkdtemp(prefix="desk-tests-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    os.environ["DATA_DIR"] = str(place)
    (place / "staticfiles").mkdir()
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = start_postgres(place)
    if not os.environ.get("BROKER_URL"):
        os.environ["BROKER_URL"] = start_valkey(place)


def embedded_postgres(place: Path) -> EmbeddedPostgres:
    """A server that forgets what a power cut would."""
    return EmbeddedPostgres(place, settings=FAST_AND_FORGETFUL)


def own_postgres() -> EmbeddedPostgres | None:
    """The server that these tests started; None where they use one of the environment."""
    server = embedded_postgres(Path(os.environ["DATA_DIR"]))
    return server if server.url == os.environ["DATABASE_URL"] else None


def start_postgres(place: Path) -> str:
    """Start a server; returns its URL."""
    server = embedded_postgres(place)
    server.prepare()
    start(services.postgres(server, environment.child_environment(place, {})), place)
    wait_for(server.is_ready, START_SECONDS)
    return server.url


def start_valkey(place: Path) -> str:
    """Start a broker; returns its URL."""
    server = EmbeddedValkey(place)
    server.prepare()
    start(services.valkey(server, environment.child_environment(place, {})), place)
    wait_for(server.is_ready, START_SECONDS)
    return server.url


def start(service: Service, place: Path) -> None:
    """Run `service` until this process ends; its output goes to a file, as nobody here reads a pipe."""
    child = Child(service, place)
    child.start(output=(place / f"{service.name}.out").open("wb"))
    atexit.register(child.process.wait, 30)
    atexit.register(child.send, service.stop_signal)
