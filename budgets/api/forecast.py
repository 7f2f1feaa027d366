"""GET /api/v1/forecast: what the key's team, and each of its budgets, will have used by the end of the period."""

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import ApiProblem, key_of, only_parameters
from budgets.models import Budget, Forecast
from budgets.rules.outlook import Band, Method, OutlookDay

AMOUNTS = ("limit", "spent", "expected", "low80", "high80", "low95", "high95")


class BandSerializer(serializers.Serializer):
    """Expected amount of a day with its intervals: estimates, so plain numbers."""

    expected = serializers.FloatField()
    low80 = serializers.FloatField()
    high80 = serializers.FloatField()
    low95 = serializers.FloatField()
    high95 = serializers.FloatField()


class ForecastDaySerializer(serializers.Serializer):
    """One day ahead; `total` runs from the moment the forecast was made to the day's end."""

    date = serializers.DateField()
    day = BandSerializer()
    total = BandSerializer()


class ForecastSerializer(serializers.Serializer):
    """The present period of a budget, or of the team's spend (`budget` null). Amounts are decimal text in `unit`.

    They include what was spent, and are null where there is no forecast yet; `reason` says why.
    """

    budget = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    unit = serializers.ChoiceField(Budget.Unit.choices)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    made_at = serializers.DateTimeField()
    method = serializers.ChoiceField([method.value for method in Method])
    reason = serializers.CharField()
    limit = serializers.CharField(allow_null=True)
    spent = serializers.CharField()
    unknown_calls = serializers.IntegerField(help_text="Calls whose cost is not known, and so in no amount")
    expected = serializers.CharField(allow_null=True)
    low80 = serializers.CharField(allow_null=True)
    high80 = serializers.CharField(allow_null=True)
    low95 = serializers.CharField(allow_null=True)
    high95 = serializers.CharField(allow_null=True)
    exhausted_on = serializers.DateField(allow_null=True, help_text="The day the limit is expected to be used up")
    exhausted_earliest = serializers.DateField(allow_null=True, help_text="80 % interval of that day")
    exhausted_latest = serializers.DateField(allow_null=True)
    days = ForecastDaySerializer(many=True, required=False)


def shown(one: Forecast, name: str, days: bool) -> dict[str, object]:
    """A forecast as the API says it, with its single days where these are asked for."""
    amounts = {field: getattr(one, field) for field in AMOUNTS}
    facts = {
        "budget": one.budget_id,
        "name": name,
        "unit": one.unit,
        "starts_at": one.period_start,
        "ends_at": one.period_end,
        "made_at": one.made_at,
        "method": one.method,
        "reason": one.reason,
        **{field: None if value is None else f"{value.normalize():f}" for field, value in amounts.items()},
        "unknown_calls": one.unknown_calls,
        "exhausted_on": one.exhausted_on,
        "exhausted_earliest": one.exhausted_earliest,
        "exhausted_latest": one.exhausted_latest,
    }
    return facts | ({"days": [_day(day) for day in one.outlook]} if days else {})


def _day(day: OutlookDay) -> dict[str, object]:
    return {"date": day.date, "day": _band(day.day), "total": _band(day.total)}


def _band(band: Band) -> dict[str, float]:
    return dict(zip(Band.__slots__, band.figures, strict=True))


class ForecastView(APIView):
    """Forecasts of the key's team and its budgets."""

    required_scope = "read"

    @extend_schema(
        summary="Forecast spend and budgets to the end of their period",
        description="Scope `read`. The month's spend of the key's team first, then its budgets in force by name. With"
        " `budget` only that one, with its single days.",
        parameters=[
            OpenApiParameter(
                "budget", OpenApiTypes.INT, OpenApiParameter.QUERY, description="The id of a budget of the team"
            )
        ],
        responses=ForecastSerializer(many=True),
        tags=["budgets"],
    )
    def get(self, request: Request) -> Response:
        team, wanted = key_of(request).team, _wanted(request)
        of_team = Q(budget__team=team, budget__is_active=True)
        chosen = of_team & Q(budget=wanted) if wanted is not None else of_team | Q(budget=None, team=team)
        found = Forecast.objects.filter(chosen, period_end__gt=timezone.now()).select_related("budget")
        if wanted is not None and not found:
            raise ApiProblem(404, "not_found", "The team has no budget of that id with a forecast.", field="budget")
        named = sorted(((one, one.budget.name if one.budget else team.name) for one in found), key=_order)
        return Response([shown(one, name, days=wanted is not None) for one, name in named])


def _order(named: tuple[Forecast, str]) -> tuple[bool, str]:
    return named[0].budget_id is not None, named[1].lower()


def _wanted(request: Request) -> int | None:
    only_parameters(request, "budget")
    text = request.query_params.get("budget")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ApiProblem(400, "invalid", "The id of a budget is a whole number.", field="budget", fix="E.g. budget=12")
    return int(text)
