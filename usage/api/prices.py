"""/api/v1/prices and /api/v1/repricings: a key reads and edits the negotiated prices of its own team."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actions import Author
from accounts.api import ApiProblem, key_of
from accounts.models import Team
from usage.models import Price, Repricing
from usage.pricing.actions import RATES, Rates, add_price, edit_price, end_price
from usage.pricing.repricing.requests import cancel_repricing, request_repricing
from usage.tasks.repricing import nudge


def _rate(help_text: str) -> serializers.DecimalField:
    return serializers.DecimalField(
        max_digits=18, decimal_places=9, min_value=0, required=False, allow_null=True, help_text=help_text
    )


class RatesSerializer(serializers.Serializer):
    """Rates in USD per million tokens, as decimal text."""

    input_mtok = _rate("Input, USD per 1M tokens")
    cached_input_mtok = _rate("Cached input; default: as input")
    cache_write_mtok = _rate("Cache write; default: as input")
    output_mtok = _rate("Output, USD per 1M tokens")
    reasoning_mtok = _rate("Reasoning; default: as output")
    request_usd = _rate("USD per call, on top of its tokens")


class PriceSerializer(RatesSerializer):
    """A dated own price. `team` is empty for one that holds for all teams; keys cannot edit those."""

    id = serializers.IntegerField(read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True, help_text="Its short name")
    provider = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    model = serializers.CharField(max_length=200)
    region = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    tier = serializers.CharField(max_length=20, required=False, allow_blank=True, default="", help_text="batch, …")
    valid_from = serializers.DateTimeField(help_text="Inclusive; ISO 8601 with zone")
    valid_to = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Exclusive")
    note = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class PriceEditSerializer(RatesSerializer):
    """All rates anew (one left out is unset), from `effective_from` on; by its start: corrected."""

    effective_from = serializers.DateTimeField(required=False, help_text="Default: now")
    note = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class PriceEndSerializer(serializers.Serializer):
    at = serializers.DateTimeField(required=False, help_text="When it stops to hold; default: now")


class RepricingSerializer(serializers.ModelSerializer):
    """A run of re-pricing. `cost_before` and `cost_after` are sums over the calls that changed, USD."""

    team: serializers.SlugRelatedField[Team] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    start = serializers.DateTimeField(help_text="Calls from this moment on")
    end = serializers.DateTimeField(required=False, help_text="Until, exclusive; default: now")
    change_usd = serializers.DecimalField(max_digits=30, decimal_places=12, read_only=True)

    class Meta:
        model = Repricing
        fields = [
            "id",
            "team",
            "provider",
            "model",
            "start",
            "end",
            "state",
            "events_total",
            "events_done",
            "events_changed",
            "events_newly_priced",
            "hours_from_rollups",
            "hours_skipped",
            "cost_before",
            "cost_after",
            "change_usd",
            "error",
            "created_at",
            "finished_at",
        ]
        read_only_fields = [name for name in fields if name not in ("provider", "model", "start", "end")]


class TeamScopeView(APIView):
    """Reads need the scope `read`, writes the scope `prices`."""

    def get_permissions(self):
        self.required_scope = "read" if self.request.method == "GET" else "prices"
        return super().get_permissions()

    def author(self, request: Request) -> Author:
        return Author(label=f"key {key_of(request).prefix}", request=request)


def refused(error: ValidationError) -> ApiProblem:
    """A domain error as the API says it: the first field and its message."""
    field, texts = next(iter(error.message_dict.items())) if hasattr(error, "error_dict") else (None, error.messages)
    return ApiProblem(
        400, "invalid", texts[0], field=field if field != "__all__" else None, fix="Correct the field and send again."
    )


def _rates(values: dict) -> Rates:
    return Rates(**{name: values.get(name) for name in RATES})


class PricesView(TeamScopeView):
    """The prices that hold for the key's team."""

    @extend_schema(
        summary="List own prices",
        description="Scope `read`. The team's negotiated prices and those for all teams; not the catalogue.",
        parameters=[OpenApiParameter("model", str, description="Only this model")],
        responses=PriceSerializer(many=True),
        tags=["prices"],
    )
    def get(self, request: Request) -> Response:
        prices = Price.objects.filter(Q(team=key_of(request).team) | Q(team=None)).select_related("team")
        model = request.query_params.get("model", "")
        if "\0" in model:  # no price has one, and PostgreSQL refuses to look for it
            prices = prices.none()
        elif model:
            prices = prices.filter(model=model.strip().lower())
        return Response(PriceSerializer(prices, many=True).data)

    @extend_schema(
        summary="Add a price",
        description="Scope `prices`. For the key's team. New calls use it at once; older ones need a re-pricing.",
        request=PriceSerializer,
        responses={201: PriceSerializer},
        tags=["prices"],
    )
    def post(self, request: Request) -> Response:
        given = PriceSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = {name: value for name, value in given.validated_data.items() if name not in RATES}
        try:
            price = add_price(
                author=self.author(request), team=key_of(request).team, rates=_rates(given.validated_data), **values
            )
        except ValidationError as error:
            raise refused(error) from error
        return Response(PriceSerializer(price).data, status=201)


class PriceView(TeamScopeView):
    """One price of the key's team."""

    def own(self, request: Request, pk: int) -> Price:
        return get_object_or_404(Price.objects.filter(team=key_of(request).team), pk=pk)

    @extend_schema(
        summary="Read a price",
        description="Scope `read`.",
        responses=PriceSerializer,
        tags=["prices"],
        operation_id="prices_read",
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(PriceSerializer(self.own(request, pk)).data)

    @extend_schema(
        summary="Change a price",
        description="Scope `prices`. The old rates end at `effective_from` and stay as history; answers the price that"
        " holds from then on, which may have another id.",
        request=PriceEditSerializer,
        responses=PriceSerializer,
        tags=["prices"],
    )
    def patch(self, request: Request, pk: int) -> Response:
        given = PriceEditSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        try:
            price = edit_price(
                author=self.author(request),
                price=self.own(request, pk),
                rates=_rates(values),
                effective_from=values.get("effective_from") or timezone.now(),
                note=values["note"],
            )
        except ValidationError as error:
            raise refused(error) from error
        return Response(PriceSerializer(price).data)

    @extend_schema(
        summary="End a price",
        description="Scope `prices`. It stops to hold, now or at `at`; it stays for the calls before.",
        parameters=[PriceEndSerializer],
        responses=PriceSerializer,
        tags=["prices"],
    )
    def delete(self, request: Request, pk: int) -> Response:
        given = PriceEndSerializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        at = given.validated_data.get("at") or timezone.now()
        try:
            price = end_price(author=self.author(request), price=self.own(request, pk), at=at)
        except ValidationError as error:
            raise refused(error) from error
        return Response(PriceSerializer(price).data)


class RepricingsView(TeamScopeView):
    """Runs of the key's team."""

    @extend_schema(
        summary="Re-price history",
        description="Scope `prices`. Every call of the model from `start` on is priced again in the background.",
        request=RepricingSerializer,
        responses={202: RepricingSerializer},
        tags=["prices"],
    )
    def post(self, request: Request) -> Response:
        given = RepricingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = {"provider": "", "end": None, **given.validated_data}
        try:
            job = request_repricing(author=self.author(request), team=key_of(request).team, **values)
        except ValidationError as error:
            raise refused(error) from error
        transaction.on_commit(lambda: nudge(job.pk))
        return Response(RepricingSerializer(job).data, status=202)


class RepricingView(TeamScopeView):
    """One run of the key's team."""

    def own(self, request: Request, pk: int) -> Repricing:
        return get_object_or_404(Repricing.objects.filter(team=key_of(request).team).select_related("team"), pk=pk)

    @extend_schema(
        summary="Progress of a re-pricing", description="Scope `read`.", responses=RepricingSerializer, tags=["prices"]
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(RepricingSerializer(self.own(request, pk)).data)

    @extend_schema(
        summary="Cancel a re-pricing",
        description="Scope `prices`. What is done so far stays done.",
        responses=RepricingSerializer,
        tags=["prices"],
    )
    def delete(self, request: Request, pk: int) -> Response:
        job = self.own(request, pk)
        cancel_repricing(job=job, author=self.author(request))
        job.refresh_from_db()
        return Response(RepricingSerializer(job).data)
