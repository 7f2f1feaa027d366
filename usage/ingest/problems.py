"""Why a body or an event is not taken, in words a client can act on."""

from dataclasses import dataclass

import msgspec


class BodyRefused(Exception):
    """The whole body is refused: `status` is the HTTP status, the rest goes into the error envelope."""

    def __init__(self, status: int, code: str, message: str, fix: str, field: str | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.fix, self.field = status, code, message, fix, field


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one event, and what to do about it. `field` is empty when it is the event as a whole."""

    field: str
    code: str
    message: str
    fix: str


class Rejection(msgspec.Struct, frozen=True):
    """One event of a body that was not taken; `index` counts from 0 in the body."""

    index: int
    event_id: str | None
    field: str | None
    code: str
    message: str
    fix: str


# A body of 10,000 bad events must not become an answer of megabytes.
LISTED_REJECTIONS = 1_000


class Rejections:
    """Counts every rejection and lists the first thousand."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[Rejection] = []

    def add(self, index: int, event_id: str | None, problem: Problem) -> None:
        self.count += 1
        if len(self.listed) < LISTED_REJECTIONS:
            name = event_id[:200] if event_id is not None else None
            self.listed.append(
                Rejection(index, name, problem.field or None, problem.code, problem.message, problem.fix)
            )
