"""GET /api/v1/controls: what is in force over the calls of the key's team."""

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import key_of, only_parameters
from incidents.controls import facts, in_force


class ControlSerializer(serializers.Serializer):
    """A control in force. `facts` has what its kind needs and the slice it is over."""

    id = serializers.IntegerField()
    does = serializers.CharField(help_text="In a few words")
    since = serializers.DateTimeField()
    facts = serializers.DictField()


class ControlsView(APIView):
    """Modes, switches and limits in force."""

    required_scope = "read"

    @extend_schema(
        summary="List controls in force",
        description="Scope `read`. Those of the key's team and those over all teams, newest first.",
        responses=ControlSerializer(many=True),
        tags=["controls"],
    )
    def get(self, request: Request) -> Response:
        only_parameters(request)
        found = in_force(timezone.now()).filter(Q(team=key_of(request).team) | Q(team=None))
        rows = [{"id": one.pk, "does": one.does, "since": one.created_at, "facts": facts(one)} for one in found]
        return Response(rows)
