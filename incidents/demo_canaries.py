"""Synthetic checks of the demo teams with a month of runs, and one of the desk itself. Removed with the teams.

The applications of the demo do not exist, so their checks are switched off; what they have seen fits the stories. The
one of the desk is real: it runs where the desk may reach its own address (OUTBOUND_ALLOWED_NETWORKS).
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp
from random import Random

from accounts.actions import Author
from accounts.models import Team, User
from incidents.actions.canaries import KEPT, as_dicts, save_canary
from incidents.models import Canary, CanaryRun
from incidents.rules.canaries import Answered, excerpt, failures, parse
from incidents.safe_http import is_allowed
from usage.demo.stories import OUTAGE, RETRIEVAL, Story

DEMO = Author(label="demo")
OWNER = "oncall@demo.example"
EVERY = timedelta(minutes=15)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Planted:
    """A check of a made-up application: what it asks, what comes back, and what did during a story.

    good, bad: (HTTP status, JSON of the answer, median milliseconds).
    """

    team: str
    name: str
    url: str
    body: dict[str, str]
    asked: str
    good: tuple[int, dict, int]
    bad: tuple[int, dict, int]
    story: Story


CHECKS = (
    Planted(
        "search", "Search answers with its source", "https://search.demo.example/v1/answers",
        {"question": "How long may I return an order?"},
        "json answer is string\ntext contains 30 days\ncitations citations >= 1",
        (200, {"answer": "Within 30 days of delivery.", "citations": ["returns.md"]}, 1_150),
        (200, {"answer": "I could not find anything about that.", "citations": []}, 980),
        RETRIEVAL,
    ),
    Planted(
        "support", "Support drafts an answer", "https://support.demo.example/v1/drafts",
        {"case": "Where is my refund?"},
        "json draft is string\ntext lacks I am sorry, I cannot",
        (200, {"draft": "Your refund was sent on Monday and takes up to five working days."}, 2_600),
        (502, {"error": "upstream"}, 9_400),
        OUTAGE,
    ),
)  # fmt: skip


def create_demo_canaries(window_end: datetime, port: str) -> int:
    """Make them where no demo team has a check yet; returns how many were made. The desk listens on `port`."""
    teams = {team.slug: team for team in Team.objects.filter(is_demo=True)}
    if Canary.objects.filter(team__in=teams.values()).exists():
        return 0
    owner = User.objects.filter(email=OWNER).first()
    mine = [planted for planted in CHECKS if planted.team in teams]
    for planted in mine:
        _plant(planted, teams[planted.team], owner, window_end)
    if "support" in teams:
        _watch_the_desk(teams["support"], owner, f"http://{LOOPBACK}:{port}")
    return len(mine) + ("support" in teams)


def _plant(planted: Planted, team: Team, owner: User | None, window_end: datetime) -> None:
    values = {"team": team, "name": planted.name, "url": planted.url, "body": json.dumps(planted.body)}
    values |= {"every_seconds": EVERY // timedelta(seconds=1), "slowest_ms": 8_000, "is_active": False, "owner": owner}
    canary = save_canary(author=DEMO, canary=Canary(), values=values | {"assertions": as_dicts(parse(planted.asked))})
    runs = [_run(canary, planted, window_end - EVERY * number, window_end) for number in range(KEPT // EVERY)]
    CanaryRun.objects.bulk_create(runs, batch_size=1_000)
    Canary.objects.filter(pk=canary.pk).update(last_run_at=window_end)


def _run(canary: Canary, planted: Planted, at: datetime, window_end: datetime) -> CanaryRun:
    """What the check would have seen at that moment, judged as every answer is."""
    rng = Random(f"{planted.name}|{at:%Y-%m-%dT%H:%M}")  # noqa: S311 -- repeatable on purpose, nothing secret
    status, body, median = planted.bad if planted.story.covers(at, window_end) else planted.good
    answer = Answered(status, json.dumps(body), round(median * exp(rng.gauss(0, 0.2))))
    wrong = failures(answer, status=200, slowest_ms=canary.slowest_ms, assertions=parse(planted.asked))
    facts = {"ok": not wrong, "status": status, "latency_ms": answer.milliseconds, "failures": wrong}
    return CanaryRun(canary=canary, due_at=at, at=at, excerpt=excerpt(answer.body, ()), **facts)


def _watch_the_desk(team: Team, owner: User | None, desk: str) -> None:
    """On, unless the desk may not reach its own address: loopback is refused where no administrator lists it."""
    values = {"team": team, "name": "This desk answers", "method": Canary.Method.GET, "url": f"{desk}/healthz"}
    values |= {"every_seconds": 60, "timeout_seconds": 5, "slowest_ms": 2_000, "owner": owner}
    values |= {"assertions": as_dicts(parse("json status is string")), "is_active": is_allowed(LOOPBACK)}
    save_canary(author=DEMO, canary=Canary(), values=values)
