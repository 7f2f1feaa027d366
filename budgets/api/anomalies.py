"""GET /api/v1/anomalies: what left its expected band."""

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import ApiProblem, key_of, only_parameters
from budgets.models import Anomaly
from budgets.models.anomalies import WATCHED
from budgets.queries.anomalies import in_state

LIMIT = 500
STATES = ("open", "undecided", "decided", "withdrawn", "all")


class AnomalySerializer(serializers.Serializer):
    """An anomaly. Figures are of the hour furthest off, in `unit`; `size_usd` is decimal text or null."""

    id = serializers.IntegerField()
    metric = serializers.ChoiceField(WATCHED)
    unit = serializers.CharField()
    feature = serializers.CharField()
    model = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="null while it runs")
    direction = serializers.ChoiceField(["up", "down"])
    value = serializers.FloatField()
    expected = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    size_usd = serializers.CharField(
        allow_null=True, help_text="More (or, negative, less) than expected; null: unknown"
    )
    severity = serializers.ChoiceField(Anomaly.Severity.choices)
    provisional = serializers.BooleanField(help_text="Its first hour still runs")
    withdrawn = serializers.BooleanField(help_text="Late events explained it away")
    decision = serializers.CharField(help_text="expected, dismissed or empty")
    reason = serializers.CharField()
    title = serializers.CharField()


def shown(one: Anomaly) -> dict[str, object]:
    names = ("metric", "unit", "started_at", "ended_at", "value", "expected", "low", "high", "severity", "decision")
    return {
        "id": one.pk,
        **{name: getattr(one, name) for name in (*names, "reason", "title")},
        "feature": one.watch.feature,
        "model": one.watch.model,
        "direction": "up" if one.up else "down",
        "size_usd": None if one.size_usd is None else f"{one.size_usd:f}",
        "provisional": one.is_provisional,
        "withdrawn": one.is_withdrawn,
    }


class AnomaliesView(APIView):
    """Anomalies of the key's team."""

    required_scope = "read"

    @extend_schema(
        summary="List anomalies",
        description=f"Scope `read`. Anomalies of the key's team, newest first, at most {LIMIT}.",
        parameters=[
            OpenApiParameter("state", str, enum=STATES, description="Default `all`, which leaves out the withdrawn"),
            OpenApiParameter("since", str, description="ISO 8601 with a zone: begun at or after this moment"),
        ],
        responses=AnomalySerializer(many=True),
        tags=["anomalies"],
    )
    def get(self, request: Request) -> Response:
        only_parameters(request, "state", "since")
        state, since = request.query_params.get("state", "all"), request.query_params.get("since")
        if state not in STATES:
            raise ApiProblem(400, "invalid", f"There is no state {state[:40]!r}.", field="state", fix=", ".join(STATES))
        found = in_state(Anomaly.objects.filter(team=key_of(request).team).select_related("watch"), state)
        if since:
            found = found.filter(started_at__gte=_moment(since))
        return Response([shown(one) for one in found[:LIMIT]])


def _moment(text: str):
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ApiProblem(400, "invalid", "since is no moment.", field="since", fix="With a zone: 2026-01-31T00:00:00Z")
    return at
