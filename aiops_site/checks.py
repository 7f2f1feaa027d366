"""System checks of the settings as a whole: what would be unsafe or cannot work is explained before the desk starts."""

from ipaddress import ip_network

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

SHORTEST_SECRET = 40


def check_secret_key(app_configs, **kwargs) -> list[CheckMessage]:
    """The key signs sessions: a short one can be guessed."""
    if settings.DEBUG or len(settings.SECRET_KEY) >= SHORTEST_SECRET:
        return []
    hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))', or leave it to `make run`."
    return [Warning(f"SECRET_KEY is shorter than {SHORTEST_SECRET} characters.", hint=hint, id="desk.W001")]


def check_database(app_configs, **kwargs) -> list[CheckMessage]:
    """Partitions, COPY and arrays are PostgreSQL's."""
    if settings.DATABASES["default"]["ENGINE"] == "aiops_site.database":
        return []
    hint = "DATABASE_URL=postgresql://user:password@host:5432/name"
    return [Error("The desk runs on PostgreSQL 16 to 18 only.", hint=hint, id="desk.E001")]


def check_hosts(app_configs, **kwargs) -> list[CheckMessage]:
    """Behind TLS the desk has a name, which must be known."""
    problems: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS and not settings.DEBUG:
        hint = "Name the hosts: ALLOWED_HOSTS=desk.example.com"
        problems.append(Warning("ALLOWED_HOSTS lets any name in.", hint=hint, id="desk.W002"))
    plain = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "://" not in origin]
    if plain:
        hint = f"Write the scheme too: CSRF_TRUSTED_ORIGINS=https://{plain[0]}"
        problems.append(Error("CSRF_TRUSTED_ORIGINS lists a host without a scheme.", hint=hint, id="desk.E002"))
    return problems


def check_retention(app_configs, **kwargs) -> list[CheckMessage]:
    """Hours are computed from minutes and must outlive them; raw events are kept a day at least."""
    days = [settings.MINUTE_RETENTION_DAYS, settings.HOUR_RETENTION_DAYS]
    if min([settings.RAW_RETENTION_DAYS, *days]) >= 1 and days == sorted(days):
        return []
    hint = "Keep RAW_RETENTION_DAYS ≥ 1 and 1 ≤ MINUTE_RETENTION_DAYS ≤ HOUR_RETENTION_DAYS."
    return [Error("The retention times do not fit together.", hint=hint, id="desk.E003")]


def check_networks(app_configs, **kwargs) -> list[CheckMessage]:
    """A network that is none would be found out only when something is sent."""
    hint = "Write networks with commas: OUTBOUND_ALLOWED_NETWORKS=10.1.0.0/16,fd12::/48"
    return [
        Error(f"OUTBOUND_ALLOWED_NETWORKS: {text} is not a network.", hint=hint, id="desk.E004")
        for text in settings.OUTBOUND_ALLOWED_NETWORKS
        if not _is_network(text)
    ]


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


ALL = [check_secret_key, check_database, check_hosts, check_retention, check_networks]
