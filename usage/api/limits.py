"""GET /api/v1/limits: the providers' limits that hold for a key's team."""

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import key_of
from accounts.models import Team
from usage.models import ProviderLimit


class LimitSerializer(serializers.ModelSerializer):
    """A limit. An empty model, region or environment: all of them share it. `team` is null for one of all teams."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = ProviderLimit
        fields = [
            "id", "team", "provider", "model", "region", "environment", "requests_per_minute", "tokens_per_minute",
            "note",
        ]  # fmt: skip


class LimitsView(APIView):
    """The limits of the key's team and those of all teams."""

    required_scope = "read"

    @extend_schema(
        summary="List providers' limits",
        description="Scope `read`. What the providers allow in a minute; `quota_use_requests` and `quota_use_tokens`"
        " of the metrics are shares of these.",
        responses=LimitSerializer(many=True),
        tags=["prices"],
    )
    def get(self, request: Request) -> Response:
        found = ProviderLimit.objects.filter(Q(team=key_of(request).team) | Q(team=None)).select_related("team")
        return Response(LimitSerializer(found, many=True).data)
