"""Pure decisions of the accounts room: which role may do what, and the shape of an API key."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass

VIEWER, OPERATOR, MAINTAINER, APPROVER = "viewer", "operator", "maintainer", "approver"
FINANCE, SECURITY, ADMIN = "finance", "security", "admin"
EVERYONE = frozenset({VIEWER, OPERATOR, MAINTAINER, APPROVER, FINANCE, SECURITY, ADMIN})


@dataclass(frozen=True)
class Capability:
    """One right: `label` completes "You need the right to …"; `roles` hold it (least privilege)."""

    label: str
    roles: frozenset[str]


CAPABILITIES = {
    "team.view": Capability("see this team", EVERYONE),
    "events.read": Capability("read events and traces", EVERYONE),
    "change.add": Capability("add change markers", frozenset({OPERATOR, MAINTAINER, APPROVER, ADMIN})),
    "price.edit": Capability("edit prices", frozenset({FINANCE, ADMIN})),
    "limit.edit": Capability("record providers' limits", frozenset({MAINTAINER, ADMIN})),
    "reprice.run": Capability("re-price history", frozenset({FINANCE, ADMIN})),
    "budget.edit": Capability("edit budgets", frozenset({FINANCE, ADMIN})),
    "budget.approve": Capability("approve large budget changes", frozenset({APPROVER, FINANCE, ADMIN})),
    "anomaly.decide": Capability(
        "call anomalies expected or dismiss them", frozenset({OPERATOR, MAINTAINER, APPROVER, FINANCE, ADMIN})
    ),
    "control.set": Capability("set modes, switches and limits", frozenset({OPERATOR, MAINTAINER, APPROVER, ADMIN})),
    "incident.work": Capability("declare and work incidents", frozenset({OPERATOR, MAINTAINER, APPROVER, ADMIN})),
    "incident.private": Capability("see private incidents", frozenset({SECURITY, ADMIN})),
    "status.edit": Capability("edit the public status page", frozenset({MAINTAINER, APPROVER, ADMIN})),
    "alert.acknowledge": Capability("silence alerts", frozenset({OPERATOR, MAINTAINER, APPROVER, ADMIN})),
    "review.decide": Capability("decide in the operations review", frozenset({OPERATOR, MAINTAINER, APPROVER, ADMIN})),
    "rule.edit": Capability("edit alert rules and SLOs", frozenset({MAINTAINER, APPROVER, ADMIN})),
    "runbook.edit": Capability("edit runbooks", frozenset({OPERATOR, MAINTAINER, APPROVER, ADMIN})),
    "oncall.edit": Capability("edit on-call rotas and escalation", frozenset({MAINTAINER, APPROVER, ADMIN})),
    "channel.manage": Capability("edit notification channels and routes", frozenset({MAINTAINER, ADMIN})),
    "api_key.manage": Capability("make and revoke API keys", frozenset({MAINTAINER, ADMIN})),
    "team.manage": Capability("create and edit teams", frozenset({ADMIN})),
    "member.manage": Capability("manage members and roles", frozenset({ADMIN})),
    "audit.read": Capability("read the audit log", frozenset({SECURITY, ADMIN})),
    "demo.remove": Capability("remove the demo data", frozenset({ADMIN})),
}

ROLE_HELP = {
    VIEWER: "sees every page of the team",
    OPERATOR: "viewer, and adds change markers, sets modes and switches, works incidents and alerts, edits runbooks",
    MAINTAINER: "operator, edits alert rules, objectives, rotas and channels, API keys and providers' limits",
    APPROVER: "operator, edits alert rules, objectives and rotas, and approves releases and large budgets",
    FINANCE: "viewer, and edits prices and budgets, re-prices history",
    SECURITY: "viewer, and reads the audit log and stored content",
    ADMIN: "everything, including members and roles",
}

# A key must not be a way round a role: giving one of these scopes needs the right itself.
SCOPE_NEEDS = {"prices": "price.edit", "incidents": "incident.work", "rules": "rule.edit"}

KEY_PATTERN = re.compile(r"aod_([a-z0-9]{10})_([A-Za-z0-9]{40})")


def split_key(text: str) -> tuple[str, str] | None:
    """(prefix, secret) of a well-formed key `aod_<prefix>_<secret>`, else None."""
    found = KEY_PATTERN.fullmatch(text)
    return (found[1], found[2]) if found else None


def random_text(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """`length` characters from the system's secure source; 40 of the default alphabet carry 238 bits."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


def new_key() -> tuple[str, str]:
    """A fresh (prefix, secret) pair; `key_text` joins them."""
    return random_text(10, string.ascii_lowercase + string.digits), random_text(40)


def key_text(prefix: str, secret: str) -> str:
    return f"aod_{prefix}_{secret}"


def secret_digest(secret: str) -> bytes:
    """SHA-256, 32 bytes. A fast hash is enough: the secret is random, so there is no dictionary to try."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, digest: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(secret_digest(secret), bytes(digest))


def changed_facts(before: dict | None, after: dict | None) -> list[tuple[str, object, object]]:
    """(name, before, after) of every fact that differs between two audit snapshots; None is "not there"."""
    old, new = before or {}, after or {}
    names = list(dict.fromkeys([*old, *new]))
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]
