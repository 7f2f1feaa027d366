"""Is the desk alive, and can it work: `GET /healthz` and `GET /readyz`, for load balancers and probes.

Ready means that this process can take events and show pages, which needs the database with all migrations. A broker
that is away or roll-ups that lag leave the desk `degraded`, still with status 200: ingest and pages work without them,
and taking every web process out of the load balancer would turn late charts into lost events.
No check says where a server is or what it answered; the reason goes to the log.
"""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from kombu import Connection

from usage.rollups import lag_seconds

log = logging.getLogger(__name__)

BROKER_SECONDS = 2
# Freshness is promised within 10 seconds; six times that is not a hiccup any more.
LAG_LIMIT_SECONDS = 60.0

Check = dict[str, object]


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers; touches neither database nor broker."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 `ok` or `degraded`, 503 `down`, with each check's own status and detail."""
    vital = {"database": checked(check_database)}
    vital["migrations"] = checked(check_migrations) if is_ok(vital["database"]) else skipped()
    others = {"broker": checked(check_broker)}
    others["rollups"] = checked(check_rollups) if all(map(is_ok, vital.values())) else skipped()
    status = overall(vital, others)
    return JsonResponse({"status": status, "checks": vital | others}, status=503 if status == "down" else 200)


def overall(vital: dict[str, Check], others: dict[str, Check]) -> str:
    """`down` when something vital fails, `degraded` when something else does, else `ok`."""
    if not all(map(is_ok, vital.values())):
        return "down"
    return "ok" if all(map(is_ok, others.values())) else "degraded"


def is_ok(check: Check) -> bool:
    """True for a check that passed."""
    return check["status"] == "ok"


def skipped() -> Check:
    """The answer of a check that cannot be asked."""
    return {"status": "skipped", "detail": "needs the checks before it"}


def checked(check: Callable[[], Check]) -> Check:
    """Run a check; whatever goes wrong in it is its failure, told without the server's words."""
    try:
        return check()
    except Exception as error:
        log.warning("Readiness: %s failed: %s", check.__name__, error)
        return {"status": "failed", "detail": "not reachable; the reason is in the log of the web process"}


def check_database() -> Check:
    """The database answers a query."""
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return {"status": "ok"}


def check_migrations() -> Check:
    """Every migration of this version is applied."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return {"status": "failed", "detail": f"{len(missing)} not applied: run manage.py migrate"}
    return {"status": "ok"}


def check_broker() -> Check:
    """The broker takes a connection."""
    options = {"socket_connect_timeout": BROKER_SECONDS, "socket_timeout": BROKER_SECONDS}
    with Connection(settings.CELERY_BROKER_URL, transport_options=options, connect_timeout=BROKER_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
    return {"status": "ok"}


def check_rollups() -> Check:
    """Age of the oldest change that the charts do not show yet."""
    lag = lag_seconds()
    answer: Check = {"status": "ok", "lag_seconds": round(lag, 1)}
    if lag > LAG_LIMIT_SECONDS:
        answer |= {"status": "failed", "detail": f"over {LAG_LIMIT_SECONDS:.0f} s behind: is worker-realtime running?"}
    return answer
