"""One supervised process: how it is started, its log, and when it may start again."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

LEASH = Path(__file__).with_name("leash.py")
LOG_BYTES = 5 * 1024**2
LOG_FILES = 3
CALM_SECONDS = 30.0  # a child that lived this long has started well
LONGEST_WAIT = 30.0


@dataclass
class Service:
    """What to run and how to end it.

    `stop_signal` asks for a clean end and has `patience` seconds; `orphan_signal` is what the kernel sends when the
    supervisor is killed. A `quiet` service writes to its log file only. One that `may_end` is not started again after
    it ended without an error.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    user: str | None = None
    cwd: str = "/"
    stop_signal: int = signal.SIGTERM
    orphan_signal: int = signal.SIGTERM
    patience: float = 10.0
    quiet: bool = False
    may_end: bool = False


class Log(RotatingFileHandler):
    """A log file that loses lines while the disk is full, instead of a page of traceback for each on the terminal."""

    def handleError(self, record: LogRecord) -> None:
        """The line itself goes to the terminal anyway."""


@dataclass
class Child:
    """A service with its process, its last lines, and its bounded log file."""

    service: Service
    log_dir: Path
    process: subprocess.Popen[bytes] = field(init=False)
    pipe: IO[bytes] = field(init=False)  # what it writes; only where `start` made a pipe
    started_at: float = 0.0
    restart_at: float | None = None
    failures: int = 0
    tail: deque = field(default_factory=lambda: deque(maxlen=20))
    unfinished_line: bytes = b""

    def __post_init__(self) -> None:
        path = self.log_dir / f"{self.service.name}.log"
        self.log = Log(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8")

    def start(self, output: IO[bytes] | int = subprocess.PIPE) -> None:
        """Start the process in a session of its own: the terminal's Ctrl-C reaches the supervisor only."""
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(self.service.orphan_signal))]
        self.process = subprocess.Popen(
            [*leash, self.service.user or "", *self.service.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self.service.environment,
            cwd=self.service.cwd,
            start_new_session=True,
        )
        if self.process.stdout:
            self.pipe = self.process.stdout
            os.set_blocking(self.pipe.fileno(), False)
        self.started_at, self.restart_at = time.monotonic(), None

    def send(self, signum: int) -> None:
        """Signal the process itself, which hands it on to its own workers."""
        if self.process.poll() is None:
            self.process.send_signal(signum)

    def sweep(self) -> None:
        """Kill what is left of the process's session, e.g. gunicorn workers that still hold the port."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def note_end(self, now: float) -> float:
        """Count the end of a process that should be running; returns the seconds until it is started again."""
        self.failures = 1 if now - self.started_at > CALM_SECONDS else self.failures + 1
        wait = min(0.25 * 2 ** (self.failures - 1), LONGEST_WAIT)
        self.restart_at = now + wait
        return wait
