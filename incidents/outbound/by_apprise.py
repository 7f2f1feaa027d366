"""Chat, paging and the rest through Apprise: it knows the services, the desk holds it to its own rules.

Of Apprise's services those that reach people over HTTP or SMTP are taken, none that acts on the machine itself;
parameters that make it read files are refused. It connects where `safe_http` lets it; its requests follow no redirects,
and what the service answered is noted on the way, as Apprise itself says only "sent" or "not sent".
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

import apprise
import requests
from apprise.plugins import NotifyBase
from requests.structures import CaseInsensitiveDict

from incidents.models import Channel
from incidents.outbound.by_webhook import refusal
from incidents.outbound.message import Message, Outcome
from incidents.safe_http import Refused, Unreachable, guarded
from incidents.seal import unseal

SECONDS = 15.0
# fmt: off
SERVICES = frozenset({
    "betterstack", "custom_json", "discord", "email", "firehydrant", "google_chat", "gotify", "ilert", "incidentio",
    "jira", "matrix", "mattermost", "ntfy", "opsgenie", "pagerduty", "pagertree", "pushover", "rocketchat", "signl4",
    "slack", "splunk", "squadcast", "telegram", "twilio", "webexteams", "workflows", "zulip",
})
# fmt: on
# They name files or further addresses to read.
READS_FILES = ("template", "pgp", "wkd", "smime")
KINDS = {
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "critical": apprise.NotifyType.FAILURE,
}
# Apprise logs what it could not send with the address in it, in part.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


@dataclass
class _Heard:
    """The last answer of a service, or why there was none."""

    status: int | None = None
    headers: CaseInsensitiveDict = field(default_factory=CaseInsensitiveDict)
    silent: bool = False


_heard: ContextVar[_Heard | None] = ContextVar("what a service answered", default=None)


class _WatchedSession(requests.Session):
    """Notes what came back while `_heard` is set, and follows no redirect then; otherwise a session like any other."""

    def send(self, request, **kwargs):
        heard = _heard.get()
        if heard is None:
            return super().send(request, **kwargs)
        self.trust_env = False
        try:
            response = super().send(request, **kwargs | {"allow_redirects": False, "proxies": {}})
        except requests.RequestException:
            heard.silent = True
            raise
        heard.status, heard.headers = response.status_code, response.headers
        return response


# `requests.post` and its like make their session by this name; Apprise's services call them.
requests.sessions.Session = _WatchedSession  # type: ignore[misc]


def service_of(address: str) -> NotifyBase:
    """The service of an Apprise address. Raises Refused for what is none, or none that the desk takes."""
    found = apprise.Apprise.instantiate(address, asset=_ASSET, suppress_exceptions=True)
    if found is None:
        raise Refused("Apprise does not know this address. See its guide for the form, e.g. slack://…, pagerduty://….")
    if _module_of(found) not in SERVICES:
        raise Refused(f"The desk does not send by {found.service_name}.")
    if named := [name for name in _parameters(address) if name.startswith(READS_FILES)]:
        raise Refused(f"The parameter {named[0]} is not taken: it would read files.")
    return found


_ASSET = apprise.AppriseAsset(
    app_id="AI Ops Desk", app_desc="AI Ops Desk", app_url="", async_mode=False, allow_templates=False
)


def _module_of(service: NotifyBase) -> str:
    return type(service).__module__.removeprefix("apprise.plugins.").partition(".")[0]


def _parameters(address: str) -> list[str]:
    pairs = parse_qsl(address.partition("?")[2], keep_blank_values=True)
    return [name.lower().lstrip("+-: ") for name, _ in pairs]


def shown(address: str) -> str:
    """The service and its address with tokens masked. Raises Refused as `service_of` does."""
    service = service_of(address)
    masked = str(service.url(privacy=True)).partition("?")[0].rstrip("/")
    if _module_of(service) == "custom_json":
        masked = "/".join(masked.split("/")[:3]) + "/…"  # whatever its path means, it is not known to be harmless
    return f"{service.service_name}: {unquote(masked)}"[:300]


def send(channel: Channel, message: Message) -> Outcome:
    """Hand it to the service, in 15 seconds at most."""
    try:
        service = service_of(unseal(channel.address))
        heard = _Heard()
        token = _heard.set(heard)
        try:
            with guarded(SECONDS):
                taken = service.notify(body=message.text, title=message.subject, notify_type=_kind(message))
        finally:
            _heard.reset(token)
    except Refused as error:
        return Outcome(False, str(error), final=True)
    except Unreachable as error:
        return Outcome(False, str(error))
    return Outcome(True) if taken else _refusal(service, heard)


def _kind(message: Message) -> apprise.NotifyType:
    return apprise.NotifyType.SUCCESS if message.kind == "resolved" else KINDS[message.severity]


def _refusal(service: NotifyBase, heard: _Heard) -> Outcome:
    if heard.silent:
        return Outcome(False, f"{service.service_name} did not answer in time, or the connection failed.")
    if heard.status is None or heard.status < 300:
        return Outcome(False, f"{service.service_name} did not take it.")
    return refusal(heard.status, heard.headers.get("Retry-After"))
