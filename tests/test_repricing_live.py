"""Re-pricing on a whole desk, through its broker and worker: killed in the middle, and large while events come in."""

import json
import threading
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from django.utils import timezone

from aiops_site.desk.supervisor import wait_for
from tests.running_desk import RunningDesk, new_desk
from tests.test_crashes import assert_reconciled, stored
from tests.test_launcher import database
from tests.traffic import event

CALLS = 200_000
BATCH = 10_000
MODEL = {"provider": "acme", "model": "acme-1"}
CALL = {**MODEL, "input_tokens": 1000, "output_tokens": 100, "cached_input_tokens": None}
FIRST, SECOND = Decimal("0.003"), Decimal("0.005")  # USD of a call at 2, then at 4 USD per 1M input tokens
RUN_SECONDS = 300
# Ten minutes go by for a run that waits for requests from before the price change, and for the price change.
PASS_TIME = """
    WITH waiting AS (
        UPDATE usage_repricing SET created_at = created_at - interval '10 minutes', claimable_at = now()
        WHERE id = %s AND state = 'running' AND cursor->>'pass' = 'recheck'
            AND created_at > now() - interval '10 minutes'
        RETURNING id
    )
    UPDATE usage_pricebook SET changed_at = changed_at - interval '10 minutes' WHERE EXISTS (SELECT FROM waiting)
"""


class Sender:
    """A team that calls a model without a public price; `sent` counts what was acknowledged."""

    def __init__(self, desk: RunningDesk, key: str) -> None:
        self.desk, self.sent = desk, 0
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self, number: int, since: timedelta) -> None:
        """`number` calls spread evenly from `since` ago until now."""
        start, step = timezone.now() - since, since / number
        calls = [event(start + step * place, event_id=f"live-{self.sent + place}", **CALL) for place in range(number)]
        answer = self.api("POST", "events", calls)
        assert answer["accepted"] == number, answer
        self.sent += number

    def api(self, method: str, path: str, body=None) -> dict:
        """The answer of an API call; fails the test where it is refused."""
        content = None if body is None else msgspec.json.encode(body)
        status, answer = self.desk.request(method, f"/api/v1/{path}", content, **self.headers)
        assert status in (200, 201, 202), answer
        return json.loads(answer)

    def start_run(self, since: datetime) -> int:
        """Ask for the calls since then to be priced again; returns the run's id."""
        return self.api("POST", "repricings", {**MODEL, "start": since.isoformat()})["id"]

    def run(self, number: int) -> dict:
        """State and progress of a run."""
        return self.api("GET", f"repricings/{number}")

    def finish(self, number: int) -> dict:
        """Wait for the end of a run; what it did."""
        wait_for(lambda: self.waited(number)["state"] not in ("waiting", "running"), RUN_SECONDS)
        return self.run(number)

    def waited(self, number: int) -> dict:
        """The run's progress; where all that is left to it is to wait for requests in flight, that time has passed."""
        with database(self.desk) as link:
            link.execute(PASS_TIME, [number])
        return self.run(number)


@pytest.fixture(scope="module")
def team():
    """A team on a desk of its own, with CALLS calls of the last twelve hours that have no price yet."""
    with new_desk() as desk:
        scopes = "ingest,read,prices"
        key = desk.manage("apikey", "create", "--team", "live", "--create-team", "--scopes", scopes)
        sender = Sender(desk, key.strip())
        for _ in range(CALLS // BATCH):
            sender.send(BATCH, timedelta(hours=12))
        wait_for(lambda: no_stale_hours(desk), 120)  # a run counts its calls in them
        yield sender


def no_stale_hours(desk: RunningDesk) -> bool:
    with database(desk) as link:
        return link.execute("SELECT count(*) FROM usage_rollup_mark WHERE tier < 2").fetchone() == (0,)


def priced(team: Sender) -> tuple[int, Decimal]:
    """Calls with a known cost, and their sum in USD."""
    with database(team.desk) as link:
        return link.execute("SELECT count(cost_usd), sum(cost_usd) FROM usage_event").fetchone()


def set_rates(team: Sender, since: datetime, usd: str) -> None:
    """The team's negotiated price since then; a price that is there already is corrected from its start."""
    rates = {"input_mtok": usd, "output_mtok": "10"}
    if known := team.api("GET", "prices"):
        team.api("PATCH", f"prices/{known[0]['id']}", rates | {"effective_from": since.isoformat()})
    else:
        team.api("POST", "prices", MODEL | rates | {"valid_from": since.isoformat()})


@pytest.fixture(scope="module")
def since() -> datetime:
    return timezone.now() - timedelta(days=1)


def test_a_worker_killed_in_the_middle_of_a_re_pricing_prices_every_call_once(team, since):
    set_rates(team, since, "2")
    number = team.start_run(since)
    wait_for(lambda: team.run(number)["events_done"] > 0, 60)
    team.desk.kill("worker-backfill")
    done = team.run(number)["events_done"]
    assert 0 < done < CALLS
    with database(team.desk) as link:  # the lease of the dead worker is over
        link.execute("UPDATE usage_repricing SET claimable_at = now() WHERE id = %s", [number])
    run = team.finish(number)
    assert (run["state"], run["events_done"], run["events_total"]) == ("done", CALLS, CALLS)
    assert (run["events_changed"], run["events_newly_priced"]) == (CALLS, CALLS)
    assert (Decimal(run["cost_before"]), Decimal(run["cost_after"])) == (0, CALLS * FIRST)
    assert priced(team) == (CALLS, CALLS * FIRST)
    assert_reconciled(team.desk, CALLS)


def test_a_large_re_pricing_while_events_come_in_leaves_every_call_at_the_new_price(team, since):
    before, over = team.sent, threading.Event()

    def go_on_sending() -> None:
        while not over.wait(0.2):
            team.send(500, timedelta(hours=6))

    sending = threading.Thread(target=go_on_sending)
    sending.start()
    try:
        set_rates(team, since, "4")
        run = team.finish(team.start_run(since))
    finally:
        over.set()
        sending.join()
    assert run["state"] == "done" and run["events_done"] >= before
    assert team.sent > before
    assert priced(team) == (team.sent, team.sent * SECOND)
    assert stored(team.desk) == team.sent
    assert_reconciled(team.desk, team.sent)
