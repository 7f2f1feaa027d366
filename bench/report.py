"""docs/benchmarks.md: the table, the machine, the notes of this run and those written by hand (bench/notes.md)."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.table import Row

NOTES = Path(__file__).with_name("notes.md")
_PACKAGES = ("Django", "gunicorn", "psycopg", "celery", "msgspec")


def cpu_model() -> str:
    """Name of the processor, "unknown" where the system does not say."""
    listing = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", listing.read_text()) if listing.exists() else None
    return found[1] if found else platform.processor() or "unknown"


def machine(settings: dict[str, str], load_before: tuple[float, float, float]) -> list[str]:
    """What it ran on, as lines of a list."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    tuned = ", ".join(f"`{name}` {value}" for name, value in settings.items() if name != "server_version")
    system = f"{platform.system()} {platform.release()}"
    return [
        f"- {os.cpu_count()} cores ({cpu_model()}), {memory:.0f} GiB of memory, {system}",
        f"- Load average before the run: {load_before[0]:.2f} (1 minute), {load_before[1]:.2f} (5 minutes)",
        f"- Python {platform.python_version()}, PostgreSQL {settings.get('server_version', '?')}, {packages}",
        f"- PostgreSQL: {tuned}",
        f"- Web server: {os.environ.get('WEB_CONCURRENCY') or 'default'} processes ×"
        f" {os.environ.get('WEB_THREADS') or 'default'} threads (gunicorn.conf.py)",
    ]


def hand_notes() -> tuple[str, dict[str, str]]:
    """The introduction, and the text under each `## key` of notes.md."""
    intro, *sections = re.split(r"^## ", NOTES.read_text(), flags=re.MULTILINE)
    return intro.strip(), {title.strip(): text.strip() for title, _, text in (s.partition("\n") for s in sections)}


def render(rows: list[Row], facts: list[str], command: str) -> str:
    """The whole document."""
    intro, texts = hand_notes()
    table = ["| what | reference | ours | ratio | goal | verdict |", "|---|---|---|---|---|---|"]
    table += [f"| {r.what} | {r.reference} | {r.ours} | {r.ratio} | {r.goal} | {r.verdict} |" for r in rows]
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [intro, f"## Figures of {when}\n\nCommand: `{command}`", "\n".join(table), "## Machine", "\n".join(facts)]
    parts += ["## Notes to the rows", *(_note(row, texts) for row in rows if row.notes or row.key in texts)]
    parts += [f"## {title}\n\n{text}" for title, text in texts.items() if title not in {row.key for row in rows}]
    return "\n\n".join(parts) + "\n"


def _note(row: Row, texts: dict[str, str]) -> str:
    said = " ".join(row.notes)
    return f"**{row.what.rstrip('.')}.** " + "\n\n".join(text for text in (said, texts.get(row.key, "")) if text)
