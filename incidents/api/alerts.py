"""GET and POST /api/v1/alerts: what fires for a key's team."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import key_of
from accounts.posted import whole_number
from incidents.actions import raise_alert, resolve_alert
from incidents.models import Alert, RunbookSection

PAGE = 100


class AlertShownSerializer(serializers.Serializer):
    """An alert. Times are UTC; `muted_by` says why nobody was told, "" where people were."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    detail = serializers.CharField()
    severity = serializers.ChoiceField(Alert.Severity.choices)
    route = serializers.ChoiceField(Alert.Route.choices)
    rule = serializers.CharField(allow_null=True, help_text="Slug of the rule that found it")
    raised_by = serializers.CharField(help_text="rule, budget, forecast, anomaly, canary, api …")
    runbook = serializers.CharField(help_text="slug#section")
    labels = serializers.DictField(child=serializers.CharField())
    started_at = serializers.DateTimeField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    muted_by = serializers.CharField(allow_blank=True)


class AlertsAnswerSerializer(serializers.Serializer):
    """A page of alerts, newest first; `next` is the `before` of the next page, null on the last."""

    alerts = AlertShownSerializer(many=True)
    next = serializers.IntegerField(allow_null=True)


class AlertSentSerializer(serializers.Serializer):
    """An alert of your own. `key` names the condition: sent again it is the same alert, with `resolved` it ends."""

    key = serializers.CharField(max_length=150)
    title = serializers.CharField(max_length=200, required=False)
    detail = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    severity = serializers.ChoiceField(Alert.Severity.choices, default="warning")
    route = serializers.ChoiceField(Alert.Route.choices, default="ticket")
    runbook = serializers.CharField(max_length=100, required=False, help_text="slug#section of a runbook of the desk")
    labels = serializers.DictField(child=serializers.CharField(max_length=200), required=False, default=dict)
    resolved = serializers.BooleanField(default=False)

    def validate(self, attrs: dict) -> dict:
        if attrs["resolved"]:
            return attrs
        for name in ("title", "runbook"):
            if not attrs.get(name):
                raise serializers.ValidationError({name: "An alert that fires needs it."})
        slug, _, kind = attrs["runbook"].partition("#")
        if not RunbookSection.objects.filter(runbook__slug=slug, kind=kind).exists():
            raise serializers.ValidationError(
                {"runbook": "No such section. Write slug#section, e.g. latency#mitigation."}
            )
        return attrs


def shown(alert: Alert) -> dict[str, object]:
    same = ("title", "detail", "severity", "route", "runbook", "labels", "started_at", "acknowledged_at")
    return {name: getattr(alert, name) for name in (*same, "resolved_at", "muted_by")} | {
        "id": alert.pk,
        "rule": alert.rule.slug if alert.rule else None,
        "raised_by": alert.source_kind,
    }


class AlertsView(APIView):
    """Alerts of the key's team."""

    @property
    def required_scope(self) -> str:
        return "alerts" if self.request.method == "POST" else "read"

    @extend_schema(
        summary="List alerts",
        description="Scope `read`. Alerts of the key's team, newest first, a hundred at a time.",
        parameters=[
            OpenApiParameter("state", str, enum=["firing", "resolved"], description="Both, if absent"),
            OpenApiParameter("before", int, description="`next` of the page before"),
        ],
        responses=AlertsAnswerSerializer,
        tags=["alerts"],
    )
    def get(self, request: Request) -> Response:
        found = Alert.objects.filter(team=key_of(request).team).select_related("rule").order_by("-id")
        state = request.query_params.get("state", "")
        if state not in ("", "firing", "resolved"):
            raise serializers.ValidationError({"state": "Write firing or resolved, or leave it out."})
        if state:
            found = found.filter(resolved_at__isnull=state == "firing")
        if text := request.query_params.get("before"):
            if (before := whole_number(text)) is None:
                raise serializers.ValidationError({"before": "Send `next` of the page before unchanged."})
            found = found.filter(id__lt=before)
        page = list(found[: PAGE + 1])
        more = page[PAGE - 1].pk if len(page) > PAGE else None
        return Response({"alerts": [shown(one) for one in page[:PAGE]], "next": more})

    @extend_schema(
        summary="Raise or resolve an alert",
        description="Scope `alerts`. By `key`: raised once however often it is sent; `resolved: true` ends it.",
        request=AlertSentSerializer,
        responses=AlertShownSerializer,
        tags=["alerts"],
    )
    def post(self, request: Request) -> Response:
        sent = AlertSentSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        team, now, data = key_of(request).team, timezone.now(), dict(sent.validated_data)
        source: dict[str, Any] = {"source_kind": "api", "source_key": f"{team.pk}:{data.pop('key')}"}
        if data.pop("resolved"):
            resolve_alert(**source, at=now)
            last = Alert.objects.filter(**source).select_related("rule").order_by("-id").first()
            if last is None:
                raise serializers.ValidationError({"key": "No alert of this key was raised."})
            return Response(shown(last))
        return Response(shown(raise_alert(**source, team=team, at=now, **data)))
