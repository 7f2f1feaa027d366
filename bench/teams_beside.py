"""`python -m bench.teams_beside POSTGRES_PID ROUNDS`: evaluate every objective of the desk; prints rows as JSON."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

import django

django.setup()

from bench.beside import Stopwatch  # noqa: E402 - needs the settings
from incidents.actions.evaluation import evaluate  # noqa: E402
from incidents.models import AlertRule, Slo  # noqa: E402
from incidents.queries.slos import attainment, burns  # noqa: E402
from incidents.rules.slos import WINDOWS  # noqa: E402


def main(watch: Stopwatch) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    slos = list(Slo.objects.filter(is_active=True).select_related("team"))
    kind = AlertRule.Kind.BURN_RATE
    rules = AlertRule.objects.filter(is_active=True, kind=kind).count()
    return [
        watch.measured("Attainment over 30 days", lambda: attainment(slos, now), many=len(slos)),
        watch.measured(f"Burn rates in {len(WINDOWS)} windows", lambda: burns(slos, WINDOWS, now), many=len(slos)),
        watch.measured("Evaluation of the burn rate rules", lambda: evaluate(now, [kind]), many=rules),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Stopwatch(int(sys.argv[1]), int(sys.argv[2])))))
