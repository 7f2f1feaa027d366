"""Filling a desk of the benchmark's own with events."""

import subprocess
import sys
import time

from bench import traffic
from bench.desk import ROOT, BenchDesk, DeskFailed
from bench.postgres import settle
from bench.table import rate

FILLERS = 2


def say(text: str) -> None:
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
    sys.stderr.flush()


def make_keys(desk: BenchDesk) -> list[str]:
    """The teams of the benchmark, and a key of each."""
    return [desk.key(f"bench-{number}") for number in range(traffic.TEAMS)]


def fill(desk: BenchDesk, events: int, ids: str) -> tuple[int, int]:
    """Store events in several processes; returns how many, and the bytes of their JSON."""
    environment = desk.environment | {"DJANGO_SETTINGS_MODULE": "aiops_site.settings"}
    commands = [
        [sys.executable, "-m", "bench.fill", str(events), ids, str(part), str(FILLERS)] for part in range(FILLERS)
    ]
    began = time.monotonic()
    running = [subprocess.Popen(c, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for c in commands]
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise DeskFailed("bench.fill failed; see above")
    counts = [tuple(map(int, output.split())) for output in outputs]
    stored, size = (sum(values) for values in zip(*counts, strict=True))
    took = time.monotonic() - began
    say(f"stored {stored:,} events in {took:.0f} s ({rate(stored / took)}); draining …")
    say(f"drained {desk.wait_drained():.0f} s later")
    settle(desk)
    return stored, size
