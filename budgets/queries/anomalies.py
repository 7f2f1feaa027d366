"""Which anomalies a person sees, and how one is shown beside what came before and after."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404

from accounts.access import visible_teams
from budgets.models import Anomaly
from budgets.rules.episode import HOUR, Watched
from usage.links import explain_url
from usage.rules.spend import Window

# What explains a metric on the page "What changed"; refusals and empty retrievals are explained by their rate.
_EXPLAINS = {
    Watched.SPEND: "spend",
    Watched.TOKENS_PER_CALL: "tokens_per_call",
    Watched.COST_PER_CALL: "spend",
    Watched.REQUESTS: "requests",
    Watched.REFUSALS: "refusal_rate",
    Watched.FAILURES: "call_errors",
    Watched.EMPTY_RETRIEVALS: "empty_retrieval_rate",
}
WEEK = timedelta(days=7)
STATES = {
    "open": Q(ended_at=None, decision="", is_withdrawn=False),
    "undecided": Q(decision="", is_withdrawn=False),
    "decided": ~Q(decision=""),
    "withdrawn": Q(is_withdrawn=True),
}


def visible_anomalies(user) -> QuerySet[Anomaly]:
    """Anomalies of the user's teams, newest first."""
    return Anomaly.objects.filter(team__in=visible_teams(user)).select_related("watch__team", "team", "decided_by")


def get_anomaly(user, pk: int) -> Anomaly:
    """The anomaly. Raises Http404 when it does not exist or is not the user's to see."""
    return get_object_or_404(visible_anomalies(user), pk=pk)


def in_state(found: QuerySet[Anomaly], state: str) -> QuerySet[Anomaly]:
    """Narrowed to a name of STATES; all but the withdrawn for another one."""
    return found.filter(STATES.get(state, Q(is_withdrawn=False)))


def same_time(one: Anomaly) -> list[Anomaly]:
    """Other anomalies of the same team that began within two hours of this one."""
    near = Q(started_at__gte=one.started_at - 2 * HOUR, started_at__lte=one.started_at + 2 * HOUR)
    return list(
        Anomaly.objects.filter(near, team=one.team, is_withdrawn=False)
        .exclude(pk=one.pk)
        .select_related("watch__team")[:20]
    )


def why_url(one: Anomaly, now: datetime) -> str:
    """The page that takes the change apart: the anomaly's hours against the same hours a week before."""
    end = min(one.ended_at or now.replace(minute=0, second=0, microsecond=0) + HOUR, one.started_at + WEEK)
    window = Window(one.started_at, end)
    return explain_url(
        _EXPLAINS[Watched(one.metric)],
        window=window,
        before=Window(window.start - WEEK, window.end - WEEK),
        team=one.team.slug,
        filters={
            name: (value,) for name, value in (("feature", one.watch.feature), ("model", one.watch.model)) if value
        },
    )


def running_size(found: QuerySet[Anomaly]) -> Decimal:
    """USD more than expected so far, of spend alone: the metrics overlap and would count the same money twice."""
    spend = found.filter(metric=Watched.SPEND, up=True, size_usd__isnull=False)
    return sum((one.size_usd for one in spend if one.size_usd), Decimal(0))
