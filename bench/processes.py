"""What the desk's processes cost: CPU seconds and memory, read from the operating system."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from bench.desk import WORKERS, BenchDesk

_SAMPLE_SECONDS = 0.02
OTHERS = "others"  # the part of the machine that is none of ours


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """Of a process and its descendants, those included that ended and were reaped."""
    total = 0.0
    for process in _family(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _machine_seconds() -> float:
    """CPU seconds all processes of the machine used so far."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def cpu_by_part(desk: BenchDesk) -> dict[str, float]:
    """CPU seconds so far of client (this process), web, Postgres and workers, and of everything else: "others"."""
    pids = desk.pids()
    used = {
        "client": time.process_time(),
        "web": cpu_seconds(pids["web"]),
        "Postgres": cpu_seconds(pids["postgres"]),
        "workers": sum(cpu_seconds(pid) for name, pid in pids.items() if name in WORKERS),
    }
    return used | {OTHERS: _machine_seconds() - sum(used.values())}


@contextmanager
def cpu_used(desk: BenchDesk) -> Iterator[dict[str, float]]:
    """Yields a dict that holds, after the block, the CPU seconds each part used inside it."""
    used: dict[str, float] = {}
    before = cpu_by_part(desk)
    yield used
    used |= {name: now - before[name] for name, now in cpu_by_part(desk).items()}


@dataclass
class Memory:
    """Bytes of the web processes' largest one: RSS as `ps` shows it, PSS with shared pages divided."""

    rss: int = 0
    pss: int = 0

    def note(self, rss: int, pss: int) -> None:
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)


def web_memory(desk: BenchDesk) -> Memory:
    """Of the largest web worker now (the master is not one)."""
    found = Memory()
    for process in _family(desk.pids()["web"])[1:]:
        with suppress(psutil.NoSuchProcess):
            info = process.memory_full_info()
            found.note(info.rss, info.pss)
    return found


@dataclass
class MemoryWatch:
    """Samples web_memory in a thread inside its `with` block; `peak` is the most it saw."""

    desk: BenchDesk
    peak: Memory = field(default_factory=Memory)

    def __enter__(self) -> "MemoryWatch":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            now = web_memory(self.desk)
            self.peak.note(now.rss, now.pss)
