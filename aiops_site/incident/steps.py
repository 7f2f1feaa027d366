"""How wide the buckets of the page are: what the roll-ups still keep, and wide enough to say something."""

from datetime import datetime, timedelta

from django.conf import settings

from usage import partitions
from usage.metrics.window import FIXED_STEPS, HOUR

FEWEST_BUCKETS = 12
ENOUGH = 20  # requests in a bucket that make a percentile or a rate worth a point


def kept(step: str, start: datetime, now: datetime) -> str:
    """`step`, or the next that the roll-ups still have for a window from `start` on."""
    width = FIXED_STEPS.get(step)
    if width and width < HOUR and start < partitions.minute_horizon(now):
        step, width = "hour", HOUR
    if width and start < now - timedelta(days=settings.HOUR_RETENTION_DAYS - 1):
        return "day"
    return step


def readable(step: str, length: timedelta, requests: int) -> str:
    """`step`, widened for thin traffic while the window keeps FEWEST_BUCKETS."""
    if step not in FIXED_STEPS or not requests:
        return step
    wider = [name for name in FIXED_STEPS if FIXED_STEPS[name] > FIXED_STEPS[step]]
    while (
        wider and requests * (FIXED_STEPS[step] / length) < ENOUGH and length / FIXED_STEPS[wider[0]] >= FEWEST_BUCKETS
    ):
        step = wider.pop(0)
    return step
