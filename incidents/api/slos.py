"""GET /api/v1/slos: the objectives over a team's requests and where they stand."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import key_of
from incidents.models import Slo
from incidents.queries.slos import Attainment, attainment


class SloSerializer(serializers.Serializer):
    """An objective over its window until now. Shares are decimal text (0.9925), null where nothing was counted."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    scope = serializers.CharField(help_text="Whose requests, in words")
    indicator = serializers.ChoiceField(Slo.Indicator.choices)
    limit = serializers.CharField(allow_null=True, help_text="ms of a latency, USD of a spend")
    target = serializers.CharField()
    window_days = serializers.IntegerField()
    good = serializers.IntegerField()
    bad = serializers.IntegerField()
    attained = serializers.CharField(allow_null=True)
    budget_left = serializers.CharField(allow_null=True, help_text="Share of the error budget; negative: overspent")
    burn_rate = serializers.CharField(allow_null=True, help_text="Of the last hour; 1 uses the budget up exactly")
    status = serializers.CharField()


def shown(one: Attainment) -> dict[str, object]:
    slo, tally = one.slo, one.tally
    shares = {"limit": slo.limit, "target": slo.target, "attained": one.attained, "budget_left": one.left}
    shares["burn_rate"] = one.now.burn_rate
    return {
        "id": slo.pk,
        "name": slo.name,
        "scope": slo.scope_label,
        "indicator": slo.indicator,
        "window_days": slo.window_days,
        "good": tally.good,
        "bad": tally.bad,
        "status": one.word,
    } | {name: None if value is None else f"{value:.6f}" for name, value in shares.items()}


class SlosView(APIView):
    """Objectives of the key's team."""

    required_scope = "read"

    @extend_schema(
        summary="List objectives",
        description="Scope `read`. Objectives in force of the key's team, with attainment, error budget and burn rate.",
        responses=SloSerializer(many=True),
        tags=["objectives"],
    )
    def get(self, request: Request) -> Response:
        found = Slo.objects.filter(team=key_of(request).team, is_active=True).select_related("team")
        return Response([shown(one) for one in attainment(found, timezone.now())])
