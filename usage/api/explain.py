"""GET /api/v1/explain: what changed between two windows, in parts that sum exactly."""

from decimal import Decimal
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from usage.api.metrics import COMMON, ERRORS, Parameters, bad, iso, parameter, refused, times
from usage.metrics import QueryError
from usage.metrics.window import DAY
from usage.queries.explain import Explanation, Question, explain
from usage.queries.explained import EXPLAINED
from usage.rules.explain import Dimension
from usage.rules.finding import finding
from usage.rules.onset import Suspect
from usage.rules.slices import Part, Slices
from usage.rules.spend import Window, weeks_earlier
from usage.scope import UNTAGGED

COMPARISONS = ("week", "previous")
LIMIT = 20  # values listed of each dimension, without another limit

ANSWER = inline_serializer(
    "Explanation",
    {
        "metric": serializers.DictField(help_text="name, label, unit and kind: sum, ratio or percentile"),
        "window": serializers.DictField(help_text="start and end"),
        "base_window": serializers.DictField(help_text="The window compared with"),
        "state": serializers.CharField(help_text="changed, unchanged, nothing, no_before or no_now"),
        "finding": serializers.CharField(help_text="The answer in words; times in tz"),
        "whole": serializers.DictField(help_text="before, now, change and its effects"),
        "parts": serializers.ListField(help_text="The smallest set that explains most of it, each with its `where`"),
        "rest": serializers.DictField(help_text="Everything else: parts, rest and remainder sum to the change"),
        "remainder": serializers.CharField(help_text="0 but for percentiles: what the parts bring about together only"),
        "unknown": serializers.DictField(help_text="Calls of unknown cost, [before, now]: not part of the change"),
        "new": serializers.ListField(help_text="Values the set did not have before"),
        "onset": serializers.DictField(help_text="at, and fit (0 to 1): how much of the scatter the step explains"),
        "suspects": serializers.ListField(help_text="Change markers near the onset, likeliest first"),
        "dimensions": serializers.ListField(help_text="Each dimension's values; best explanation first"),
    },
)
EXAMPLE = OpenApiExample(
    "Prompt v14",
    value={
        "finding": "Spend rose $4.98 (+23 %): 87 % is feature answer-drafting after prompt version v14 –"
        " tokens per call ×2.4, calls −4.9 %. It began 12 Nov 07:00, 14 min after the change “Prompt v14”.",
        "whole": {"before": "22.04", "now": "27.02", "change": "4.98", "effects": {"volume": "-0.03"}},
        "parts": [{"where": {"feature": "answer-drafting"}, "change": "4.32", "share": 0.867, "base_share": 0.22}],
    },
    response_only=True,
)


class ExplainView(APIView):
    """What changed between two windows."""

    required_scope = "read"

    @extend_schema(
        operation_id="explain",
        summary="Explain a change",
        tags=["figures"],
        description="The change of a metric between two windows, taken apart: the smallest set of values that explains "
        "most of it, causes (calls × tokens per call × price and mix), every dimension's values, when it began, and "
        "change markers near the onset. Parts, rest and remainder sum exactly to the change; amounts are decimal text.",
        parameters=[
            parameter("metric", "What changed; default: spend", enum=tuple(EXPLAINED)),
            parameter("base_start", "Start of the window compared with", type=OpenApiTypes.DATETIME),
            parameter("base_end", "Its end, exclusive", type=OpenApiTypes.DATETIME),
            parameter("compare", "Without base_start: the same time weeks before (default) or the period before",
                      enum=COMPARISONS),
            *(one for one in COMMON if one.name not in ("group_by", "compare")),
        ],
        examples=[EXAMPLE],
        responses={200: ANSWER} | ERRORS,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        parameters = Parameters(request, "metric", "base_start", "base_end")
        if "group_by" in request.query_params:
            raise bad("group_by", "An explanation looks at every dimension.", "Leave group_by out.")
        try:
            explanation = explain(_question(parameters), parameters.now)
        except QueryError as error:
            raise refused(error) from error
        return Response(_answer(explanation, parameters))


def _question(parameters: Parameters) -> Question:
    end = parameters.moment("end", parameters.now)
    window = _whole(parameters, "end", parameters.moment("start", end - DAY), end)
    metric = EXPLAINED[parameters.choice("metric", tuple(EXPLAINED), "spend")]
    team = (parameters.team.pk,)
    return Question(metric, window, _base(parameters, window), team, parameters.filters, parameters.zone)


def _base(parameters: Parameters, window: Window) -> Window:
    """The window compared with: given by its times, or by `compare`."""
    given = [name for name in ("base_start", "base_end") if parameters.get.get(name)]
    compare = parameters.choice("compare", COMPARISONS, "week")
    if len(given) == 1:
        missing = "base_end" if given == ["base_start"] else "base_start"
        raise bad(missing, f"{given[0]} needs {missing} too.", "Send both, or compare instead.")
    if given:
        given_times = [parameters.moment(name, parameters.now) for name in given]
        return _whole(parameters, "base_end", *given_times)
    if compare == "previous":
        return Window(window.start - (window.end - window.start), window.start)
    return weeks_earlier(window, parameters.zone)


def _whole(parameters: Parameters, name: str, start, end) -> Window:
    if end <= start:
        raise bad(name, "The end of a window must be after its start.", "Swap them, or send another time.")
    return Window.in_minutes(start, end)


# --- Output ---------------------------------------------------------------------------------------------------------
def _answer(explanation: Explanation, parameters: Parameters) -> dict[str, Any]:
    metric, onset = explanation.question.metric, explanation.onset
    limit = parameters.limit if parameters.get.get("limit") else LIMIT
    sides = {"unpriced_calls": explanation.unknown.unpriced, "unmetered_calls": explanation.unknown.unmetered}
    return {
        "metric": {"name": metric.name, "label": metric.label, "unit": metric.unit, "kind": metric.kind},
        "window": times(explanation.window.start, explanation.window.end) | {"tz": parameters.zone.key},
        "base_window": times(explanation.before.start, explanation.before.end),
        "state": explanation.state or "changed",
        "finding": finding(explanation, parameters.zone),
        "whole": _whole_part(explanation),
        "parts": [_part(part) for part in explanation.parts],
        "rest": _part(explanation.rest),
        "remainder": _text(explanation.remainder),
        "unknown": {name: list(pair) for name, pair in sides.items()},
        "new": [new._asdict() for new in explanation.new],
        "onset": {"at": iso(onset.at), "fit": round(onset.fit, 4)} if onset else None,
        "suspects": [_suspect(suspect) for suspect in explanation.suspects],
        "dimensions": [_dimension(slices, dimension, limit) for slices, dimension in explanation.dimensions],
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _whole_part(explanation: Explanation) -> dict[str, Any]:
    whole = explanation.whole
    effects = {name: _text(amount) for name, amount in explanation.effects.items()}
    return {
        "before": _text(whole.before),
        "now": _text(whole.now),
        "change": _text(explanation.change),
        "effects": effects,
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "where": {name: value or UNTAGGED for name, value in part.where},
        "before": _text(part.before),
        "now": _text(part.now),
        "change": _text(part.contribution),
        "share": None if part.share is None else round(part.share, 6),
        "base_share": round(part.weight, 6),
        "effects": {name: _text(amount) for name, amount in part.effects.items()},
        "unknown_calls": list(part.unknown),
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "id": suspect.change.id,
        "at": iso(suspect.change.at),
        "kind": suspect.change.kind,
        "title": suspect.change.title,
        "seconds_before_onset": round(suspect.lead.total_seconds()),
        "matches": [*suspect.matches, *(f"new {name}" for name in suspect.named)],
        "score": round(suspect.score, 4),
    }


def _dimension(slices: Slices, dimension: Dimension, limit: int) -> dict[str, Any]:
    parts, rest = slices.values(dimension.name, dimension.values, limit)
    return {
        "name": dimension.name,
        "contrast": round(dimension.best.score, 6),
        "surprise_bits": round(dimension.surprise, 6),
        "set": [clause.where[0][1] or UNTAGGED for clause in dimension.best.clauses],
        "values": [_part(part) for part in parts],
        "rest": _part(rest) | {"values": rest.count},
        "remainder": _text(slices.remainder([*parts, rest])),
    }
