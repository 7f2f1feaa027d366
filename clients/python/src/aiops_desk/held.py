"""What a reservation is to the code that makes the call, however it waits."""

from __future__ import annotations

from time import monotonic

from aiops_desk.answers import Closed, Decision, Estimate, Headroom, Reason
from aiops_desk.errors import Denied, DeskError
from aiops_desk.flows import log

DEFAULT_TTL = 300


class Held:
    """An allowed call. `answer` is all the desk said; the rest are short ways to it."""

    def __init__(self, answer: Decision, ttl_seconds: int, asked_at: float) -> None:
        """`asked_at`: time.monotonic() before the question, so that clocks of two machines are never compared."""
        if answer.decision == "deny":
            raise Denied(answer)
        self.answer = answer
        self.closed: Closed | None = None
        self._ttl, self._extend_at = ttl_seconds, asked_at + ttl_seconds / 2
        self._over = False

    @property
    def id(self) -> str | None:
        """The reservation_id for usage events; None where nothing is reserved."""
        return self.answer.reservation_id

    @property
    def guarded(self) -> bool:
        """False: the desk did not answer, and the call goes on as asked under the policy fail-open."""
        return self.answer.guarded

    @property
    def decision(self) -> str:
        """allow or degrade."""
        return self.answer.decision

    @property
    def mode(self) -> str:
        """normal, conserve, emergency or blocked; unknown where the desk did not answer."""
        return self.answer.mode

    @property
    def provider(self) -> str | None:
        return self.answer.provider

    @property
    def model(self) -> str:
        """The model to use."""
        return self.answer.model or ""

    @property
    def max_output_tokens(self) -> int | None:
        """What to send as the limit of the answer; None: the desk sets none."""
        return self.answer.max_output_tokens

    @property
    def max_context_tokens(self) -> int | None:
        """Shorten the prompt to this; None: as it is."""
        return self.answer.max_context_tokens

    @property
    def top_k(self) -> int | None:
        return self.answer.top_k

    @property
    def tools_off(self) -> tuple[str, ...]:
        """Tools not to offer; * is every tool."""
        return self.answer.tools_off

    @property
    def reason(self) -> Reason:
        return self.answer.reason

    @property
    def headroom(self) -> tuple[Headroom, ...]:
        return self.answer.headroom

    @property
    def estimate(self) -> Estimate:
        return self.answer.estimate

    def detach(self) -> str | None:
        """Leave the block without settling: whoever gets the id returned here settles it, or it expires."""
        self._over = True
        return self.id

    def _is_due(self) -> bool:
        """Whether half of its time is over while it is still needed."""
        return self.id is not None and not self._over and monotonic() >= self._extend_at

    def _extended(self, asked_at: float, ttl_seconds: int) -> None:
        self._ttl, self._extend_at = ttl_seconds, asked_at + ttl_seconds / 2

    def _put_off(self, exc: DeskError) -> None:
        """It could not be extended: once more after a tenth of its time."""
        log.warning("%s was not extended: %s", self.id, exc)
        self._extend_at = monotonic() + self._ttl / 10

    def _ended(self, told: Closed | None) -> Closed | None:
        self.closed, self._over = told, True
        return told
