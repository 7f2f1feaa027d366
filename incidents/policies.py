"""Mode policies: what conserve and emergency mean for a feature."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.access import visible_teams
from accounts.actions import Author, audit
from accounts.models import Team, User
from incidents.models import ModePolicy

FIELDS = ("max_output_tokens", "max_context_tokens", "top_k", "model_map", "tools_off")


def visible_policies(user: User) -> QuerySet[ModePolicy]:
    """Of the user's teams, and those for everybody."""
    return ModePolicy.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None)).select_related("team")


def save_policy(*, author: Author, team: Team | None, feature: str, mode: str, values: dict[str, Any]) -> ModePolicy:
    """Make or change the policy of a feature ('': the default) and mode. Raises ValidationError by field."""
    with transaction.atomic():
        place = {"team": team, "feature": feature, "mode": mode}
        policy = ModePolicy.objects.select_for_update(of=("self",)).filter(**place).first()
        before = facts(policy) if policy else None
        policy = policy or ModePolicy(**place)
        for name in FIELDS:
            setattr(policy, name, values[name])
        _check(policy)
        policy.save()
        _audit(policy, "policy.changed" if before else "policy.added", author, before, facts(policy))
    return policy


def remove_policy(*, author: Author, policy: ModePolicy) -> None:
    """The next more general policy holds again."""
    with transaction.atomic():
        _audit(policy, "policy.removed", author, facts(policy), None)
        policy.delete()


def facts(policy: ModePolicy) -> dict[str, Any]:
    return {"feature": policy.feature, "mode": policy.mode} | {name: getattr(policy, name) for name in FIELDS}


def _check(policy: ModePolicy) -> None:
    problems = {}
    for name in ("max_output_tokens", "max_context_tokens", "top_k"):
        value = getattr(policy, name)
        if value is not None and not 0 < value <= 10_000_000:
            problems[name] = "This must be from 1 to 10,000,000, or empty."
    pairs = policy.model_map
    if not isinstance(pairs, dict) or not all(isinstance(v, str) and v.strip() and k.strip() for k, v in pairs.items()):
        problems["model_map"] = "Write a line per model: gpt-4o = gpt-4o-mini; * stands for any model."
    if all(getattr(policy, name) in (None, {}, []) for name in FIELDS):
        problems["max_output_tokens"] = "Say at least one thing that the mode changes."
    if problems:
        raise ValidationError(problems)


def _audit(policy: ModePolicy, action: str, author: Author, before, after) -> None:
    audit(
        action=action,
        target=str(policy),
        team=policy.team,
        before=before,
        after=after,
        **author.signature,
    )
