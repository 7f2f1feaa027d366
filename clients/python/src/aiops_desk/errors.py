"""What can go wrong, each with what a program needs to go on."""

from __future__ import annotations

from typing import Literal

from aiops_desk.answers import Decision


class DeskError(Exception):
    """Whatever this package raises on purpose."""


class Denied(DeskError):
    """The guard said no: do not make the call.

    `code` and `message` say why, `retry_after` is in seconds and None where waiting alone does not help, `answer` is
    all the desk said.
    """

    def __init__(self, answer: Decision) -> None:
        super().__init__(f"{answer.reason.message} ({answer.reason.code})")
        self.answer = answer
        self.code, self.message, self.retry_after = answer.reason.code, answer.reason.message, answer.retry_after


class DeskUnavailable(DeskError):
    """The desk did not answer within the time-out, or answered that it cannot (429, 5xx).

    `told` is what it said to do about the call meanwhile, None where it said nothing; `retry_after` is in seconds.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, told: Literal["allow", "deny"] | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.retry_after, self.told = message, retry_after, told


class RequestRefused(DeskError):
    """The request itself is refused: a wrong key, a wrong field, a reservation the desk does not know or that ended
    otherwise. Sending the same again is useless."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None, fix: str = "") -> None:
        where = f"{field}: " if field else ""
        super().__init__(f"{where}{message} {fix} ({status} {code})")
        self.status, self.code, self.message, self.field, self.fix = status, code, message, field, fix
