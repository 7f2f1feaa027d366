"""A whole replay: traces in, batches over several connections, a state file behind, a summary out."""

import hashlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from usage.replay import state as states
from usage.replay.batches import Batch, batches
from usage.replay.cast import MADE_UP
from usage.replay.delivery import Delivery, Stopped
from usage.replay.ndjson import Events
from usage.replay.progress import Progress
from usage.replay.shift import TimeShift
from usage.replay.traces import Trace, open_traces

_QUEUED_PER_CONNECTION = 2
_SAVE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """What to replay and how. `end`: None (traces end now, event files keep their times), "now", "keep" or a moment."""

    files: tuple[Path, ...]
    url: str
    keys: tuple[tuple[str, str], ...]
    events: int | None = None
    end: datetime | str | None = None
    speed: float | None = None
    batch: int = 1000
    connections: int = 4
    encoding: str = "gzip"
    rate: float | None = None
    limit: int | None = None
    give_up: float = 300
    seed: str = "aiops"

    def name(self) -> str:
        """A digest of everything that decides which events are sent where, in which batches."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        keys = [(team, hashlib.sha256(key.encode()).hexdigest()) for team, key in self.keys]
        told = (self.url, keys, self.events, str(self.end), self.speed, self.batch, self.limit, self.seed)
        digest.update(repr(told).encode())
        return digest.hexdigest()


class Replay:
    """One run. `state_path` is read at the start and written as batches are acknowledged."""

    def __init__(self, options: Options, state_path: Path, *, fresh: bool = False, out: IO[str]):
        self.options = options
        self.state_path = state_path
        self.out = out
        self.traces = open_traces(
            list(options.files), events=options.events, seed=options.seed, teams=len(options.keys)
        )
        self.state, self.is_again = self._state(fresh)
        self.tally = states.Tally(self.state)
        self.queue: queue.Queue[Batch | None] = queue.Queue(_QUEUED_PER_CONNECTION * options.connections)
        self.stop = threading.Event()
        self.problem: Exception | None = None
        self.handed_out = 0

    def _state(self, fresh: bool) -> tuple[states.State, bool]:
        """The state to go on from, and whether it repeats a finished replay with the same times."""
        name = self.options.name()
        kept = None if fresh else states.load(self.state_path, name)
        if kept is None:
            return states.State(name, [self._shift(trace) for trace in self.traces]), False
        if kept.finished:
            return states.State(name, kept.shifts), True
        return kept, False

    def _shift(self, trace: Trace) -> tuple[float, float]:
        now = round(time.time(), 3)
        if self.options.speed:
            return trace.start, now
        end = self.options.end
        if isinstance(end, datetime):
            return trace.end, end.timestamp()
        keeps = end == "keep" or (end is None and isinstance(trace, Events))
        return trace.end, trace.end if keeps else now

    def expected(self) -> int:
        """About how many events the replay has in all."""
        total = sum(trace.expected for trace in self.traces)
        return min(total, self.options.limit or total)

    def shifts(self) -> Iterator[tuple[Trace, TimeShift]]:
        """Each trace with where it lands on the clock."""
        for trace, (source, wall) in zip(self.traces, self.state.shifts, strict=True):
            yield trace, TimeShift(source, wall, self.options.speed or 1.0)

    def run(self) -> dict:
        """Sends everything; returns the summary. The first thing that cannot be mended ends it early."""
        states.save(self.state_path, self.state)
        began, already = time.monotonic(), sum(self.tally.counts().values())
        progress = Progress(self.out, self.expected(), already)
        senders = [threading.Thread(target=self._send, daemon=True) for _ in range(self.options.connections)]
        reporter = threading.Thread(target=self._report, args=(progress,), daemon=True)
        for thread in (*senders, reporter):
            thread.start()
        whole = self._drive(senders)
        self.stop.set()
        for thread in (*senders, reporter):
            thread.join()
        return self._finish(progress, time.monotonic() - began, already, whole)

    def _drive(self, senders: list[threading.Thread]) -> bool:
        """Feeds the senders and waits for them. False if somebody or something ended the replay early."""
        try:
            whole = self._hand_out() and all(self._put(None) for _ in senders)
            for thread in senders if whole else ():
                thread.join()
        except KeyboardInterrupt:
            whole = False
        return whole

    def _batches(self) -> Iterator[Batch]:
        # Not of the batch size or the URL: the same events sent in another way are still the same events.
        name = (self.state.shifts, self.options.seed, self.options.events, self.options.speed)
        ids = f"replay-{hashlib.sha256(repr(name).encode()).hexdigest()[:10]}"
        slices = [trace.slices(shift, ids) for trace, shift in self.shifts()]
        return batches(slices, size=self.options.batch, live=bool(self.options.speed), limit=self.options.limit)

    def _hand_out(self) -> bool:
        """Queues every batch that is not done yet, when it is due. False if the replay was stopped before the end."""
        began, sent, resume_at = time.monotonic(), 0, self.state.batches_done
        for batch in self._batches():
            self.handed_out += len(batch.lines)
            if batch.number < resume_at:
                continue
            if self._wait_for(batch, began, sent) or not self._put(batch):
                return False
            sent += len(batch.lines)
        return not self.stop.is_set()

    def _wait_for(self, batch: Batch, began: float, sent: int) -> bool:
        """Waits until the batch may go; True if the replay was stopped meanwhile."""
        wait = 0.0
        if self.options.speed:
            wait = batch.due - time.time()
        if self.options.rate:
            wait = max(wait, began + sent / self.options.rate - time.monotonic())
        return self.stop.wait(wait) if wait > 0 else self.stop.is_set()

    def _put(self, batch: Batch | None) -> bool:
        while not self.stop.is_set():
            try:
                self.queue.put(batch, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def _send(self) -> None:
        """A sender thread: takes batches until there are no more."""
        line = Delivery(self.options.url, encoding=self.options.encoding, give_up=self.options.give_up, stop=self.stop)
        try:
            while (batch := self._next()) is not None:
                answer = line.deliver(self.options.keys[batch.team][1], batch.lines)
                self.tally.acknowledge(batch.number, answer)
        except Stopped:
            pass
        except Exception as problem:
            self.problem = self.problem or problem
            self.stop.set()
        finally:
            line.close()

    def _next(self) -> Batch | None:
        while not self.stop.is_set():
            try:
                return self.queue.get(timeout=0.2)
            except queue.Empty:
                continue
        return None

    def _report(self, progress: Progress) -> None:
        while not self.stop.wait(_SAVE_EVERY_S if not progress.tty else progress.every):
            progress.tick(self.tally.counts())
            self.tally.save(self.state_path)

    def _finish(self, progress: Progress, seconds: float, already: int, whole: bool) -> dict:
        counts = self.tally.counts()
        acknowledged = sum(counts.values())
        unacknowledged = self.handed_out - acknowledged
        self.state.finished = whole and self.problem is None and unacknowledged == 0
        self.tally.save(self.state_path)
        progress.show(counts, last=True)
        return {
            "events": self.handed_out,
            **counts,
            "unacknowledged": unacknowledged,
            "complete": self.state.finished,
            "resumed_after": already,
            "repeated": self.is_again,
            "batches": self.state.batches_done,
            "retries": self.tally.retries,
            "seconds": round(seconds, 3),
            "events_per_second": round((acknowledged - already) / seconds) if seconds else 0,
            "traces": [self.place(trace, shift) for trace, shift in self.shifts()],
            "rejections": self.tally.problems,
            "problem": str(self.problem) if self.problem else None,
            "state": str(self.state_path),
        }

    @staticmethod
    def place(trace: Trace, shift: TimeShift) -> dict:
        """Where a trace lands on the clock, and what about it is made up."""
        return {
            "trace": trace.name,
            "first": datetime.fromtimestamp(shift(trace.start), UTC).isoformat(timespec="milliseconds"),
            "last": datetime.fromtimestamp(shift(trace.end), UTC).isoformat(timespec="milliseconds"),
            "made_up": [] if isinstance(trace, Events) else list(MADE_UP),
        }
