"""Drawing the stages of a trace."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from usage.queries.traces import Stage

register = template.Library()
# Share of the width a stage is drawn with at least, so that a short one can be seen.
THINNEST = 0.004
TONES = {"error": "bad", "fallback": "warn"}


@register.filter
def at_most(value: int, limit: int) -> int:
    return min(value, limit)


@register.simple_tag
def waterfall_bar(stage: Stage) -> SafeString:
    """When the stage ran within its trace, as a bar."""
    width = max(stage.width_share, THINNEST)
    left = min(stage.start_share, 1 - width)
    tone = TONES.get(stage.event.series.status, "accent")
    return format_html(
        '<svg class="bar" aria-hidden="true"><rect class="bar-track" width="100%" height="100%" rx="2"/>'
        '<rect class="fill-{}" x="{}%" width="{}%" height="100%" rx="2"/></svg>',
        tone,
        f"{left * 100:.2f}",
        f"{width * 100:.2f}",
    )
