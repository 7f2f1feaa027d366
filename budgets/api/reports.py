"""GET /api/v1/reports: the archived cost reports of a key's team."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import key_of, only_parameters
from budgets.models import Report
from budgets.rules.weeks import is_week
from usage.api.metrics import ERRORS, bad, iso, parameter

MOST = 60
ANSWER = inline_serializer(
    "CostReports",
    {"reports": serializers.ListField(help_text="week, is_weekly, start, end, made_at and facts; newest first")},
)


class ReportsView(APIView):
    """Weekly cost reports."""

    required_scope = "read"

    @extend_schema(
        operation_id="reports",
        summary="Weekly cost reports",
        tags=["figures"],
        description=f"The last {MOST} archived reports of the key's team, newest first, with their facts as they were "
        "when each was made. Amounts are decimal text in USD; null is unknown.",
        parameters=[parameter("week", "Only this ISO week, e.g. 2026-W47", type=OpenApiTypes.STR)],
        responses={200: ANSWER} | ERRORS,
    )
    def get(self, request: Request) -> Response:
        only_parameters(request, "week")
        found = Report.objects.filter(team=key_of(request).team)
        if week := request.query_params.get("week"):
            if not is_week(week):
                raise bad("week", f"“{week[:20]}” is no ISO week.", "Write it as 2026-W47.")
            found = found.filter(week=week)
        return Response({"reports": [_shown(report) for report in found[:MOST]]})


def _shown(report: Report) -> dict:
    return {
        "week": report.week,
        "is_weekly": report.is_weekly,
        "start": iso(report.starts_at),
        "end": iso(report.ends_at),
        "made_at": iso(report.made_at),
        "facts": report.facts,
    }
