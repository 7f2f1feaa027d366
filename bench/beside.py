"""Measuring inside a process that runs beside the desk, with what the database spent on it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.processes import cpu_seconds


@dataclass(frozen=True)
class Stopwatch:
    """Medians of `rounds` runs; `postgres` is the process id of the server, whose whole family counts as ours."""

    postgres: int
    rounds: int

    def measured(self, name: str, work: Callable[[], Any], **facts: Any) -> dict[str, Any]:
        """`facts` with the name, CPU and clock seconds; the first run is not counted."""
        work()
        runs = [self._run(work) for _ in range(self.rounds)]
        cpu, clock = (statistics.median(values) for values in zip(*runs, strict=True))
        return {"name": name, "cpu": cpu, "clock": clock} | facts

    def _run(self, work: Callable[[], Any]) -> tuple[float, float]:
        before, began = self._cpu(), time.monotonic()
        work()
        return self._cpu() - before, time.monotonic() - began

    def _cpu(self) -> float:
        return time.process_time() + cpu_seconds(self.postgres)
