"""`python -m bench.fill EVENTS IDS PART PARTS`: store events of the last 30 days through `record_events`.

Prints how many were accepted and how many bytes of JSON they were. Runs beside the desk, several at once.
"""

import sys
from datetime import UTC, datetime, timedelta

import django

django.setup()

from accounts.models import Team  # noqa: E402 - needs the settings
from bench import traffic  # noqa: E402
from usage.actions import record_events  # noqa: E402

BATCH = 2_000
DAYS = 30


def fill(wanted: int, ids: str, part: int, parts: int) -> tuple[int, int]:
    """Events accepted and bytes of JSON. Every event must be taken."""
    now = datetime.now(UTC)
    span = traffic.Span(now - timedelta(days=DAYS), now)
    teams = list(Team.objects.filter(slug__startswith="bench-").order_by("slug"))
    accepted = size = 0
    for number, lines in traffic.batches(traffic.events(wanted, span, ids, part, parts), BATCH):
        outcome = record_events(
            team=teams[number], environment="", api_key_id=None, events=b"\n".join(lines), lines=True
        )
        if outcome.accepted != len(lines):
            raise RuntimeError(f"{outcome.accepted} of {len(lines)} events accepted: {outcome.rejected[:1]}")
        accepted += outcome.accepted
        size += sum(map(len, lines))
    return accepted, size


if __name__ == "__main__":
    print(*fill(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))  # noqa: T201
