"""GET /api/v1/budgets: where the budgets of the key's team stand."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import key_of, only_parameters
from budgets.facts import facts_of
from budgets.models import Budget
from budgets.queries.standing import Standing, standings


class StandingSerializer(serializers.Serializer):
    """A budget in its current period. Amounts are decimal text in `unit`."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    unit = serializers.ChoiceField(Budget.Unit.choices)
    period = serializers.ChoiceField(Budget.Period.choices)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    limit = serializers.CharField(help_text="With grants and what was rolled over")
    used = serializers.CharField()
    reserved = serializers.CharField(help_text="Held by open reservations")
    left = serializers.CharField()
    unknown_calls = serializers.IntegerField(help_text="Calls whose cost is not known, and so not in `used`")
    pace = serializers.CharField()
    facts = serializers.DictField(help_text="The budget as it was set")


def shown(standing: Standing) -> dict[str, object]:
    budget = standing.budget
    return {
        "id": budget.pk,
        "name": budget.name,
        "unit": budget.unit,
        "period": budget.period,
        "starts_at": standing.start,
        "ends_at": standing.end,
        **{name: f"{getattr(standing, name):f}" for name in ("limit", "used", "reserved", "left")},
        "unknown_calls": standing.unknown_calls,
        "pace": standing.pace.word,
        "facts": facts_of(budget),
    }


class BudgetsView(APIView):
    """Budgets in force of the key's team."""

    required_scope = "read"

    @extend_schema(
        summary="List budgets and where they stand",
        description="Scope `read`. Budgets in force of the key's team, by name; not those of the whole organisation.",
        responses=StandingSerializer(many=True),
        tags=["budgets"],
    )
    def get(self, request: Request) -> Response:
        only_parameters(request)
        mine = Budget.objects.filter(team=key_of(request).team, is_active=True)
        found = mine.select_related("team", "owner").prefetch_related("thresholds")
        return Response([shown(one) for one in standings(found, timezone.now())])
