"""PostgreSQL's own tools and figures."""

import re
import subprocess
from pathlib import Path

from aiops_site.desk.postgres import BINARIES
from bench.desk import BenchDesk, DeskFailed

_RATE = re.compile(r"tps = ([\d.]+)")
# What COPY names without a list of columns.
EVENT_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = 'usage_event'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


def pgbench_rate(desk: BenchDesk, script: Path, clients: int, seconds: float) -> float:
    """Transactions a second of a script, simple protocol, two threads."""
    options = ["-n", "-f", str(script), "-c", str(clients), "-j", "2", "-T", f"{seconds:.0f}"]
    done = subprocess.run([BINARIES / "pgbench", *options, desk.database_url], capture_output=True, text=True)
    found = _RATE.search(done.stdout)
    if done.returncode or not found:
        raise DeskFailed(f"pgbench: {done.stdout}{done.stderr}")
    return float(found[1])


def settings_in_force(desk: BenchDesk) -> dict[str, str]:
    """The server's version and the settings that decide about durability and speed."""
    with desk.database() as database:
        rows = database.execute("SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [list(_SETTINGS)])
        return dict(rows.fetchall())


def bytes_of(desk: BenchDesk, pattern: str) -> int:
    """Bytes on disk of all tables whose name matches a regular expression, with indexes and TOAST."""
    with desk.database() as database:
        row = database.execute(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
            " WHERE c.relkind = 'r' AND c.relname ~ %s",
            [pattern],
        ).fetchone()
        return row[0] if row else 0


def settle(desk: BenchDesk) -> None:
    """What autovacuum and the checkpointer would do within minutes, done now."""
    with desk.database() as database:
        database.execute("VACUUM (ANALYZE)")
        database.execute("CHECKPOINT")
