"""What a replay remembers, so that it can go on where it was: the time shift, and how many batches are done."""

import contextlib
import os
import threading
from pathlib import Path

import msgspec

from usage.replay.delivery import SHOWN_PROBLEMS, Answer


class State(msgspec.Struct):
    """The file. `shifts`: (trace second, epoch second) per trace; counts are of the first `batches_done` batches."""

    replay: str
    shifts: list[tuple[float, float]]
    batches_done: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    finished: bool = False

    def add(self, answer: Answer) -> None:
        """Counts the next batch."""
        self.batches_done += 1
        self.accepted += answer.accepted
        self.duplicates += answer.duplicates
        self.rejected += answer.rejected


class OtherReplay(ValueError):
    """The state file belongs to a replay of other files or options."""


def load(path: Path, replay: str) -> State | None:
    """The state kept for this replay, None if there is none yet."""
    if not path.exists():
        return None
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.DecodeError as problem:
        raise OtherReplay(f"{path} is not the state of a replay ({problem}).") from problem
    if state.replay != replay:
        raise OtherReplay(f"{path} belongs to a replay of other files, options, URL or key. Use --fresh to replace it.")
    return state


def save(path: Path, state: State) -> None:
    """Writes the whole file or leaves the old one: a crash never leaves half a state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.json.encode(state))
        os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


class Tally:
    """Counts acknowledged batches from several threads. The state moves on only when no earlier batch is missing."""

    def __init__(self, state: State):
        self.state = state
        self.lock = threading.Lock()
        self.ahead: dict[int, Answer] = {}
        self.retries = 0
        self.problems: list[dict] = []

    def acknowledge(self, number: int, answer: Answer) -> None:
        """Notes the answer to a batch."""
        with self.lock:
            self.retries += answer.retries
            self.problems = (self.problems + list(answer.problems))[:SHOWN_PROBLEMS]
            self.ahead[number] = answer
            while (following := self.ahead.pop(self.state.batches_done, None)) is not None:
                self.state.add(following)

    def counts(self) -> dict[str, int]:
        """Accepted, duplicates and rejected of every acknowledged batch, in order or not."""
        with self.lock:
            answers = [self.state, *self.ahead.values()]
            return {
                name: sum(getattr(answer, name) for answer in answers)
                for name in ("accepted", "duplicates", "rejected")
            }

    def save(self, path: Path) -> None:
        """Writes the state as it is now."""
        with self.lock:
            save(path, self.state)
