"""How wide the buckets of the page are: wide enough to say something."""

from datetime import timedelta

from usage.metrics.window import FIXED_STEPS

FEWEST_BUCKETS = 12
ENOUGH = 20  # requests in a bucket that make a percentile or a rate worth a point


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
