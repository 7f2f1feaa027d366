"""/api/v1/alert-rules: a key reads the rules that watch its team, and edits and tries those of its team."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actions import Author
from accounts.api import ApiProblem, key_of, only_parameters
from accounts.models import ApiKey
from accounts.posted import whole_number
from incidents.actions.rules import STALE, remove_rule, save_rule
from incidents.api.rule_schema import (
    BacktestSerializer,
    RuleEditSerializer,
    RuleSerializer,
    RuleShownSerializer,
    shown,
    values_of,
)
from incidents.models import AlertRule
from incidents.queries.backtests import Backtest, backtest
from incidents.queries.rule_checks import check
from usage.metrics import QueryError

MOST_FIRINGS = 500
NOT_YOURS = "It is a rule of all teams, which no key may change."
COPY = "Make one of your own with instead_of set to its slug: it stands instead of it for your team."
CORRECT = "Correct the field and send again."
CHANGED = "Read the rule again and send the change with its new version."


def _author(request: Request) -> Author:
    key = key_of(request)
    return Author(label=f"key {key.name} ({key.prefix}…)", request=request)


@contextmanager
def _refusals() -> Iterator[None]:
    """A domain error as the API says it: a lost edit 409, else the first field and what would be right."""
    try:
        yield
    except ValidationError as error:
        if STALE in error.messages:
            raise ApiProblem(409, "conflict", STALE, field="version", fix=CHANGED) from error
        found = error.message_dict if hasattr(error, "error_dict") else {None: error.messages}
        field, texts = next(iter(found.items()))
        raise ApiProblem(400, "invalid", texts[0], field=field, fix=CORRECT) from error
    except QueryError as error:
        raise ApiProblem(400, "invalid", str(error), field=error.field, fix=CORRECT) from error


def _visible(key: ApiKey) -> QuerySet[AlertRule]:
    mine = AlertRule.objects.filter(Q(team=key.team) | Q(team=None))
    return mine.select_related("team", "owner", "parent", "slo__team", "runbook_section__runbook")


def _found(key: ApiKey, slug: str) -> AlertRule:
    rule = _visible(key).filter(slug=slug).first()
    if rule is None:
        raise Http404("There is no such rule of your team or of all teams.")
    return rule


def _own(key: ApiKey, slug: str) -> AlertRule:
    """The rule to change. Raises ApiProblem (403) for one of all teams."""
    rule = _found(key, slug)
    if rule.team_id is None:
        raise ApiProblem(403, "not_yours", NOT_YOURS, fix=COPY)
    return rule


class _ReadOrWrite(APIView):
    """Reading needs the scope `read`, writing `rules`."""

    def get_permissions(self):
        self.required_scope = "read" if self.request.method == "GET" else "rules"
        return super().get_permissions()


class AlertRulesView(_ReadOrWrite):
    """Rules that watch the key's team."""

    @extend_schema(
        summary="List alert rules",
        description="Scope `read`. Rules of the key's team and those of all teams, by slug.",
        responses=RuleShownSerializer(many=True),
        tags=["alerts"],
    )
    def get(self, request: Request) -> Response:
        return Response([shown(one) for one in _visible(key_of(request)).order_by("slug")])

    @extend_schema(
        summary="Add an alert rule",
        description="Scope `rules`. For the key's team; evaluated within 30 seconds. Answers its slug, which names it"
        " from then on. Rules of the desk itself are of all teams and made on its pages.",
        request=RuleSerializer,
        responses={201: RuleShownSerializer},
        tags=["alerts"],
    )
    def post(self, request: Request) -> Response:
        key, given = key_of(request), RuleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = values_of(given.validated_data, key.team, AlertRule()) | {"team": key.team}
        with _refusals():
            rule = save_rule(author=_author(request), rule=AlertRule(), values=values, at=timezone.now(), note="By API")
        return Response(shown(_found(key, rule.slug)), status=201)


class AlertRuleView(_ReadOrWrite):
    """One rule."""

    @extend_schema(
        summary="Read an alert rule",
        description="Scope `read`. One of the key's team or of all teams.",
        responses=RuleShownSerializer,
        tags=["alerts"],
        operation_id="alert_rules_read",
    )
    def get(self, request: Request, slug: str) -> Response:
        return Response(shown(_found(key_of(request), slug)))

    @extend_schema(
        summary="Change an alert rule",
        description="Scope `rules`. Only what is sent changes. Send the `version` you read: 409 where somebody else"
        " changed it since. `is_active: false` switches it off. Every version is kept.",
        request=RuleEditSerializer(partial=True),
        responses=RuleShownSerializer,
        tags=["alerts"],
    )
    def patch(self, request: Request, slug: str) -> Response:
        key = key_of(request)
        rule = _own(key, slug)
        data = _edit_of(request, rule)
        version, note = data.pop("version", None), data.pop("note", "") or "By API"
        values = values_of(data, key.team, rule)
        with _refusals():
            save_rule(author=_author(request), rule=rule, values=values, at=timezone.now(), version=version, note=note)
        return Response(shown(_found(key, slug)))

    @extend_schema(
        summary="Delete an alert rule",
        description="Scope `rules`. Its alerts end within 30 seconds and stay in their list. One that came with the"
        " desk or an objective can only be switched off.",
        parameters=[OpenApiParameter("version", int, description="409 where it is another one by now")],
        responses={204: None},
        tags=["alerts"],
    )
    def delete(self, request: Request, slug: str) -> Response:
        only_parameters(request, "version")
        key, text = key_of(request), request.query_params.get("version", "")
        version = whole_number(text)
        if text and version is None:
            raise serializers.ValidationError({"version": "Send the version of the rule that you read, a number."})
        with _refusals():
            remove_rule(author=_author(request), rule=_own(key, slug), version=version)
        return Response(status=204)


def _edit_of(request: Request, rule: AlertRule) -> dict[str, Any]:
    given = RuleEditSerializer(data=request.data, partial=True, context={"kind": rule.kind})
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


# --- Trying ---------------------------------------------------------------------------------------------------------
class BacktestView(APIView):
    """A rule that is not saved."""

    required_scope = "read"

    @extend_schema(
        summary="Try an alert rule",
        description="Scope `read`. How often it would have fired in the last 30 days; nothing is saved.",
        request=RuleSerializer,
        responses=BacktestSerializer,
        tags=["alerts"],
    )
    def post(self, request: Request) -> Response:
        key, given = key_of(request), RuleSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        rule = AlertRule(team=key.team)
        return _tried(rule, values_of(given.validated_data, key.team, rule), key)


class RuleBacktestView(APIView):
    """A rule that is there, as it is or with changes."""

    required_scope = "read"

    @extend_schema(
        summary="Try a change of an alert rule",
        description="Scope `read`. The rule over the key's team as it is, or with the fields that are sent; nothing is"
        " saved.",
        request=RuleEditSerializer(partial=True),
        responses=BacktestSerializer,
        tags=["alerts"],
    )
    def post(self, request: Request, slug: str) -> Response:
        key = key_of(request)
        rule = _found(key, slug)
        rule.team = key.team  # of one of all teams: as a copy for this team
        return _tried(rule, values_of(_edit_of(request, rule), key.team, rule), key)


def _tried(rule: AlertRule, values: dict[str, Any], key: ApiKey) -> Response:
    now = timezone.now()
    for name, value in values.items():
        setattr(rule, name, value)
    with _refusals():
        check(rule, now)
        result = backtest(rule, [key.team_id], now)
    return Response(_answer(result))


def _answer(result: Backtest) -> dict[str, object]:
    found = [(span, one) for one in result.sets for span in one.spans]
    found.sort(key=lambda pair: pair[0].start, reverse=True)
    firings = [
        {"team": one.team, "labels": one.labels, "start": span.start, "end": span.end}
        for span, one in found[:MOST_FIRINGS]
    ]
    same = {name: getattr(result, name) for name in ("times", "start", "end", "step", "note")}
    return same | {"counts_from": result.counts_from or result.start, "firings": firings}
