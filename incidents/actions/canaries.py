"""Writing synthetic checks, taking the runs that are due, and keeping what came of them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.actions import Author, audit
from incidents.models import Canary, CanaryRun
from incidents.rules.canaries import Answered, Assertion, excerpt, failures
from incidents.safe_http import Refused, Unreachable, check_url, request
from incidents.seal import SealBroken, seal, unseal

EDITED = (
    *("name", "team", "owner", "method", "url", "body", "every_seconds", "timeout_seconds", "expected_status"),
    *("slowest_ms", "assertions", "is_active"),
)
KEPT = timedelta(days=30)
MOST_BYTES = 512 * 1024
STALE = "Somebody saved this check while you edited it. Look at the new one and change it again."


def facts(canary: Canary) -> dict[str, Any]:
    """What the audit log keeps: of the headers, only their names."""
    plain = {name: getattr(canary, name) for name in EDITED if name not in ("team", "owner", "assertions")}
    return plain | {
        "team": canary.team.slug if canary.team else None,
        "owner": canary.owner.email if canary.owner else None,
        "assertions": [Assertion(**one).line for one in canary.assertions],
        "headers": canary.header_names,
    }


def save_canary(
    *,
    author: Author,
    canary: Canary,
    values: Mapping[str, Any],
    headers: dict[str, str] | None = None,
    version: int | None = None,
) -> Canary:
    """Make the check (one without a key) or change it; it is sent anew at once.

    `values`: of EDITED; `headers`: None leaves them as they are. With `version`, that of the check the edit began
    with: raises ValidationError when it has been changed since, as for an address that is none.
    """
    with transaction.atomic():
        made = canary.pk is None
        current = canary if made else Canary.objects.select_for_update().get(pk=canary.pk)
        if version is not None and current.version != version:
            raise ValidationError(STALE)
        before = None if made else facts(current)
        for name, value in values.items():
            setattr(current, name, value)
        _check(current)
        if headers is not None:
            current.headers_sealed = seal(json.dumps(headers)) if headers else ""
            current.header_names = sorted(headers)
        current.due_at, current.failed_in_row = timezone.now(), 0
        current.version += 0 if made else 1
        current.save()
        verb = "add" if made else "edit"
        audit(
            **author.signature,
            action=f"canary.{verb}",
            target=f"check {current.pk}: {current.name}",
            team=current.team,
            before=before,
            after=facts(current),
        )
    return current


def _check(canary: Canary) -> None:
    try:
        check_url(canary.url)
    except Refused as error:
        raise ValidationError({"url": str(error)}) from None
    if canary.timeout_seconds >= canary.every_seconds:
        raise ValidationError({"timeout_seconds": "The time-out must be shorter than the time between two runs."})


def run_now(*, author: Author, canary: Canary) -> None:
    """Make it due."""
    with transaction.atomic():
        Canary.objects.filter(pk=canary.pk, is_active=True).update(due_at=timezone.now())
        audit(**author.signature, action="canary.run", target=f"check {canary.pk}: {canary.name}", team=canary.team)


# --- Running --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Taken:
    """A run that this process has taken: nobody else sends it."""

    canary: Canary
    due_at: datetime


def take(now: datetime) -> Taken | None:
    """The run that is due longest, moved on to its next time; None when none is due. Missed runs are not made up."""
    with transaction.atomic():
        due = Canary.objects.select_for_update(skip_locked=True).filter(is_active=True, due_at__lte=now)
        canary = due.order_by("due_at").first()
        if canary is None:
            return None
        taken = Taken(canary, canary.due_at)
        Canary.objects.filter(pk=canary.pk).update(due_at=now + timedelta(seconds=canary.every_seconds))
    return taken


def run(taken: Taken) -> CanaryRun:
    """Send the request, judge the answer, keep both."""
    canary, at = taken.canary, timezone.now()
    try:
        headers = json.loads(unseal(canary.headers_sealed)) if canary.headers_sealed else {}
        answer = _sent(canary, headers)
    except (Refused, Unreachable, SealBroken) as error:
        return keep(taken, at, None, [str(error)], "")
    wrong = failures(
        answer,
        status=canary.expected_status,
        slowest_ms=canary.slowest_ms,
        assertions=[Assertion(**one) for one in canary.assertions],
    )
    return keep(taken, at, answer, wrong, excerpt(answer.body, headers.values()))


def _sent(canary: Canary, headers: dict[str, str]) -> Answered:
    known = {"User-Agent": "ai-ops-desk synthetic check"}
    if canary.method == Canary.Method.POST:
        known["Content-Type"] = "application/json"
    answer = request(
        canary.method,
        canary.url,
        headers=known | headers,
        body=canary.body.encode() if canary.method == Canary.Method.POST else b"",
        seconds=float(canary.timeout_seconds),
        most_bytes=MOST_BYTES,
    )
    text = answer.body.decode("utf-8", "replace").replace("\0", "")
    return Answered(answer.status, text, round(answer.seconds * 1000), answer.whole)


def keep(taken: Taken, at: datetime, answer: Answered | None, wrong: list[str], shown: str) -> CanaryRun:
    """Keep one run; told twice it is counted once, and of an older version of the check not at all."""
    values = {
        "at": at,
        "ok": not wrong,
        "status": answer.status if answer else None,
        "latency_ms": answer.milliseconds if answer else None,
        "failures": wrong,
        "excerpt": shown,
    }
    with transaction.atomic():
        one, made = CanaryRun.objects.get_or_create(canary=taken.canary, due_at=taken.due_at, defaults=values)
        if made:
            count = F("failed_in_row") + 1 if wrong else 0
            same = Canary.objects.filter(pk=taken.canary.pk, version=taken.canary.version)
            same.update(failed_in_row=count, last_run_at=at)
    return one


def expire(now: datetime) -> int:
    """Remove runs older than KEPT; returns how many."""
    return CanaryRun.objects.filter(at__lt=now - KEPT).delete()[0]


def as_dicts(assertions: list[Assertion]) -> list[dict[str, str]]:
    """As the model keeps them."""
    return [asdict(one) for one in assertions]
