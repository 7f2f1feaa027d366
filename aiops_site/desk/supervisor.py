"""Runs the children: one loop that reads their output, restarts what ends, and stops everything in order.

Own code rather than honcho (which the wheel index has): honcho ends everything when one child ends, starts all at once,
signals all at once, and leaves the children behind when it is killed; we need restart with back-off, an order, one-off
steps in between, and no orphans. One thread only: the kernel ties a child to the *thread* that started it.
"""

import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from aiops_site.desk.children import Child, Service
from aiops_site.desk.logs import Console, take_output

HOPELESS = 4  # ends in a row before the desk is up
COMPLAIN_AFTER = 5  # ends in a row afterwards


class StopRequested(Exception):
    """Ctrl-C or SIGTERM arrived."""


class ServiceFailed(Exception):
    """A child cannot run; the message has the end of its log."""


class Supervisor:
    """Children in the order they were started; `on_change` is called after every start and end."""

    def __init__(self, log_dir: Path, console: Console, on_change: Callable[["Supervisor"], None]) -> None:
        self.log_dir, self.console, self.on_change = log_dir, console, on_change
        self.children: list[Child] = []
        self.signals: list[int] = []
        self.started = self.stopping = False
        self.selector = selectors.DefaultSelector()
        self._listen_to_signals()

    def _listen_to_signals(self) -> None:
        self._waker, wake = socket.socketpair()
        self._waker.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda received, _frame: self.signals.append(received))
        self.selector.register(self._waker, selectors.EVENT_READ)

    def start(self, service: Service) -> Child:
        """Start a child that is to run until the desk stops."""
        child = Child(service, self.log_dir)
        self._launch(child)
        self.children.append(child)
        self.on_change(self)
        return child

    def begin(self, service: Service) -> Child:
        """Start a step that ends by itself; `finish` waits for it."""
        child = Child(service, self.log_dir)
        self._launch(child)
        return child

    def finish(self, child: Child) -> None:
        """Wait for a step. Raises ServiceFailed when it ends with an error."""
        try:
            while child.process.poll() is None:
                self.tick()
        except BaseException:
            child.sweep()
            raise
        self._drain(child)
        if child.process.returncode:
            raise ServiceFailed(self.last_words(child, f"failed with code {child.process.returncode}"))

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Run the loop until `ready()`. Raises ServiceFailed naming `what` after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{what} was not ready within {seconds:.0f} seconds. Logs: {self.log_dir}")
            self.tick(0.05)

    def tick(self, seconds: float = 0.2) -> None:
        """One turn: read output, look after ended children, start those whose wait is over. Raises StopRequested."""
        for key, _events in self.selector.select(seconds):
            if key.data is None:
                self._waker.recv(4096)
            elif not take_output(key.data, self.console):
                self.selector.unregister(key.fileobj)
        if self.signals and not self.stopping:
            raise StopRequested
        if not self.stopping:
            self._look_after_children()

    def _look_after_children(self) -> None:
        now = time.monotonic()
        for child in list(self.children):
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._launch(child)
                    self.on_change(self)
            elif child.process.poll() is not None:
                self._after_end(child, now)

    def _launch(self, child: Child) -> None:
        child.start()
        self.selector.register(child.pipe, selectors.EVENT_READ, child)

    def _drain(self, child: Child) -> None:
        """Read the last output of an ended process and let go of its pipe."""
        pipe = child.pipe
        if pipe in [key.fileobj for key in self.selector.get_map().values()]:
            while select_readable(pipe) and take_output(child, self.console):
                continue
            self.selector.unregister(pipe)
        pipe.close()

    def _after_end(self, child: Child, now: float) -> None:
        child.sweep()
        self._drain(child)
        if child.service.may_end and child.process.returncode == 0:
            self.children.remove(child)
            self.on_change(self)
            return
        wait = child.note_end(now)
        how = describe_end(child.process.returncode)
        self.console.say(f"{child.service.name} ended ({how}); starting it again in {wait:.2g} s.")
        self.on_change(self)
        if not self.started and child.failures >= HOPELESS:
            raise ServiceFailed(self.last_words(child, f"ended {child.failures} times in a row"))
        if child.failures == COMPLAIN_AFTER:
            self.console.say(self.last_words(child, "keeps ending; the desk keeps trying"))

    def last_words(self, child: Child, what: str) -> str:
        """Message with the end of the child's log."""
        tail = "\n".join(f"    {line}" for line in child.tail) or "    (it wrote nothing)"
        return f"{child.service.name} {what}. Its last lines, from {child.log.baseFilename}:\n{tail}"

    def run(self) -> None:
        """Look after the children until StopRequested."""
        self.started = True
        while True:
            self.tick()

    def stop(self, groups: list[list[str]]) -> None:
        """Stop the children, one group of names after the other; a second Ctrl-C kills what is left at once."""
        self.stopping = True
        self.signals.clear()
        for names in groups:
            self._stop_group([child for child in self.children if child.service.name in names])

    def _stop_group(self, group: list[Child]) -> None:
        for child in group:
            child.send(child.service.stop_signal)
        deadline = time.monotonic() + max((child.service.patience for child in group), default=0)
        while any(child.process.poll() is None for child in group):
            if self.signals or time.monotonic() > deadline:
                break
            self.tick(0.05)
        for child in group:
            child.sweep()
            child.process.wait()
            self._drain(child)


def wait_for(ready: Callable[[], bool], seconds: float) -> None:
    """Wait until `ready()`. Raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not ready within {seconds:.0f} seconds")
        time.sleep(0.05)


def select_readable(pipe) -> bool:
    """True when a read of `pipe` would return at once with bytes or the end."""
    with selectors.DefaultSelector() as once:
        once.register(pipe, selectors.EVENT_READ)
        return bool(once.select(0))


def describe_end(code: int) -> str:
    """How a process ended, for people."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
