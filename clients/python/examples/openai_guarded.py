"""The OpenAI client behind the guard: reserve, call with the model and limit the desk names, settle, send the event.

    AIOPS_URL=https://desk.example AIOPS_KEY=aod_… OPENAI_API_KEY=… python openai_guarded.py "Why is the sky blue?"

The key needs the scopes guard and ingest. OPENAI_BASE_URL names another server of the same protocol.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from openai import OpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessageParam

from aiops_desk import Denied, Desk, DeskError, Reservation


class GuardedChat:
    """Chat completions of one feature, none of them without the guard's word.

    `clients` are by the name of their provider: the guard may fail over to another. The first is the one asked.
    """

    def __init__(
        self, desk: Desk, clients: dict[str, OpenAI], *, feature: str, model: str, max_output_tokens: int
    ) -> None:
        self.desk, self.clients, self.provider = desk, clients, next(iter(clients))
        self.feature, self.model, self.max_output_tokens = feature, model, max_output_tokens

    def answer(self, messages: list[ChatCompletionMessageParam], *, tenant: str = "") -> str:
        """The whole answer. Raises Denied, openai.OpenAIError and, under fail-closed, DeskUnavailable."""
        with self._guard(messages, tenant) as held:
            began = datetime.now(timezone.utc), time.monotonic()
            told = self._client(held).chat.completions.create(messages=messages, **_told_to(held))
            self._book(held, tenant, began, told.usage)
        return told.choices[0].message.content or ""

    def stream(self, messages: list[ChatCompletionMessageParam], *, tenant: str = "") -> Iterator[str]:
        """The answer as it comes; the usage is in the last chunk. Raises as `answer`."""
        with self._guard(messages, tenant, ttl_seconds=120) as held:
            began, usage, any_came = (datetime.now(timezone.utc), time.monotonic()), None, False
            chunks = self._client(held).chat.completions.create(
                messages=messages, stream=True, stream_options={"include_usage": True}, **_told_to(held)
            )
            try:
                for chunk in held.extending(chunks):
                    usage, any_came = chunk.usage or usage, True
                    for choice in chunk.choices:
                        yield choice.delta.content or ""
            finally:
                chunks.close()
                # Cut off in the middle the tokens cost money all the same: without a usage the estimate is booked.
                if any_came:
                    self._book(held, tenant, began, usage)

    def _guard(self, messages: list[ChatCompletionMessageParam], tenant: str, **more: Any) -> Any:
        return self.desk.guard(
            provider=self.provider,
            model=self.model,
            feature=self.feature,
            tenant=tenant,
            input_tokens=sum(len(str(message.get("content", ""))) for message in messages) // 4,
            max_output_tokens=self.max_output_tokens,
            **more,
        )

    def _client(self, held: Reservation) -> OpenAI:
        """Raises KeyError for a provider this program has no client of; the reservation is given back then."""
        return self.clients[held.provider or self.provider]

    def _book(
        self, held: Reservation, tenant: str, began: tuple[datetime, float], usage: CompletionUsage | None
    ) -> None:
        """Settle at once, so that the room is free again, and say the same in a usage event for all other figures."""
        counts = _counts(usage)
        held.settle(**counts)
        event = {
            "event_id": str(uuid4()),
            "occurred_at": began[0],
            "operation": "chat",
            "provider": held.provider,
            "model": held.model,
            "feature": self.feature,
            "tenant": tenant or None,
            "latency_ms": round((time.monotonic() - began[1]) * 1000),
            "max_tokens": held.max_output_tokens,
            "reservation_id": held.id,
            **counts,
        }
        try:
            self.desk.send_events([event])
        except DeskError as exc:
            print(f"The event was not sent: {exc}", file=sys.stderr)


def _told_to(held: Reservation) -> dict[str, Any]:
    """What the guard has a say in. A limit of None is left out: there is none."""
    limit = {} if held.max_output_tokens is None else {"max_completion_tokens": held.max_output_tokens}
    return {"model": held.model, **limit}


def _counts(usage: CompletionUsage | None) -> Any:
    """The provider's usage in the desk's words; nothing where it is not known."""
    if usage is None:
        return {}
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    reasoning = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cached_input_tokens": cached,
        "reasoning_tokens": reasoning,
    }


def main() -> int:
    question: list[ChatCompletionMessageParam] = [{"role": "user", "content": " ".join(sys.argv[1:]) or "Hello!"}]
    with Desk(os.environ["AIOPS_URL"], os.environ["AIOPS_KEY"]) as desk, OpenAI() as openai:
        chat = GuardedChat(desk, {"openai": openai}, feature="example", model="gpt-4o", max_output_tokens=400)
        try:
            print(chat.answer(question))
            for text in chat.stream(question):
                print(text, end="", flush=True)
            print()
        except Denied as exc:
            wait = f" Again in {exc.retry_after} s." if exc.retry_after else ""
            print(f"Not now: {exc.message}{wait}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
