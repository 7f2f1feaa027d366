"""Signed webhooks, after the Standard Webhooks specification (https://www.standardwebhooks.com/)."""

import base64
import email.utils
import hashlib
import hmac
import json
import secrets
import time
from contextlib import suppress

from incidents.models import Channel
from incidents.outbound.message import Message, Outcome
from incidents.safe_http import Answer, Refused, Unreachable, check_url, request
from incidents.seal import unseal

SECONDS = 10.0
PREFIX = "whsec_"
# Statuses after which the same request may succeed; others of 4xx are the receiver's last word.
WORTH_ANOTHER_TRY = (408, 425, 429)


def new_secret() -> str:
    """A signing secret as the specification writes it: 32 random bytes in base64 behind whsec_."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over "id.timestamp.body"."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{number}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def shown(address: str) -> str:
    """The address without path and query, which may hold a token. Raises Refused for what is no http(s) address."""
    check_url(address)
    return "/".join(address.split("/")[:3]) + "/…"


def send(channel: Channel, message: Message) -> Outcome:
    """Post it. The id stays the same with every attempt, so that a receiver takes it once."""
    body = json.dumps(payload(message)).encode()
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ai-ops-desk",
        "webhook-id": message.number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(unseal(channel.signing_secret), message.number, timestamp, body),
    }
    try:
        answer = request("POST", unseal(channel.address), headers=headers, body=body, seconds=SECONDS)
    except Refused as error:
        return Outcome(False, str(error), final=True)
    except Unreachable as error:
        return Outcome(False, str(error))
    return outcome_of(answer)


def payload(message: Message) -> dict[str, object]:
    """What receivers get: type, timestamp and data."""
    data = {name: getattr(message, name) for name in ("key", "severity", "route", "team", "title", "body", "incident")}
    links = {label.lower(): url for label, url in message.links}
    return {"type": message.kind, "timestamp": message.happened_at.isoformat(), "data": data | {"links": links}}


def outcome_of(answer: Answer) -> Outcome:
    """2xx is taken; a redirect, and most of 4xx, will not change by asking again."""
    if 200 <= answer.status < 300:
        return Outcome(True)
    return refusal(answer.status, answer.headers.get("retry-after"))


def refusal(status: int, retry_after: str | None) -> Outcome:
    """What an answer outside of 2xx means."""
    if 300 <= status < 400:
        return Outcome(False, f"It answered {status}, a redirect. Enter the address it leads to.", final=True)
    final = 400 <= status < 500 and status not in WORTH_ANOTHER_TRY
    return Outcome(False, f"It answered {status}.", seconds_of(retry_after), final)


def seconds_of(retry_after: str | None) -> float | None:
    """Retry-After in seconds: a number, or a date (RFC 9110, 10.2.3). None where there is none that can be read."""
    if not retry_after:
        return None
    with suppress(ValueError):
        return max(float(retry_after), 0.0)
    with suppress(ValueError, TypeError):
        return max(email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    return None
