"""System checks: a setting that would be unsafe or cannot work is explained before the desk starts."""

from typing import Any

from django.conf import settings
from django.core.checks import Error


def check_signup(app_configs, **kwargs) -> list[Error]:
    """Open sign-up needs proof of the address: else anyone could take another's and be matched to them by OIDC."""
    if not settings.SIGNUP_OPEN or settings.EMAIL_CONFIGURED:
        return []
    return [
        Error("SIGNUP_OPEN needs outgoing mail.", hint="Set EMAIL_URL, or leave SIGNUP_OPEN off.", id="accounts.E001")
    ]


def check_oidc(app_configs, **kwargs) -> list[Error]:
    """All three OIDC settings belong together."""
    problems = []
    providers: dict[str, Any] = settings.SOCIALACCOUNT_PROVIDERS
    for app in providers.get("openid_connect", {}).get("APPS", []):
        missing = [] if app["secret"] else ["OIDC_CLIENT_SECRET"]
        missing += [] if app["settings"]["server_url"].startswith("https://") else ["OIDC_SERVER_URL (https://…)"]
        if missing:
            hint = f"Set {' and '.join(missing)}, or unset OIDC_CLIENT_ID."
            problems.append(Error("Single sign-on is configured by half.", hint=hint, id="accounts.E002"))
    return problems
