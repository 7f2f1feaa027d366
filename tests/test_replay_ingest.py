"""A replay into the real ingest: what is acknowledged is stored, rolled up, and stored once."""

import io
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.cast import make_key, make_team
from tests.test_replay import azure_file
from usage import rollups
from usage.models import UsageEvent
from usage.replay.run import Options, Replay

__all__ = ["azure_file"]


@pytest.fixture
def replay(live_server, azure_file, tmp_path):
    """Runs a replay of the trace with a key of a new team; keyword arguments are options."""
    team = make_team("replayed")
    key = make_key(team, "ingest")[1]

    def run(**more) -> dict:
        options = Options(files=(azure_file,), url=live_server.url, keys=(("", key),), batch=90, give_up=30, **more)
        return Replay(options, tmp_path / "state.json", out=io.StringIO()).run()

    return run


def test_the_real_ingest_takes_every_event_once(replay):
    first, second = replay(), replay()
    assert (first["accepted"], first["rejected"], first["complete"]) == (400, 0, True), first
    assert (second["accepted"], second["duplicates"]) == (0, 400)
    assert UsageEvent.objects.count() == 400
    rollups.drain()


def test_the_real_ingest_says_why_events_are_too_old(replay):
    summary = replay(end=timezone.now() - timedelta(days=400))
    assert (summary["accepted"], summary["rejected"]) == (0, 400)
    assert summary["rejections"][0]["code"] == "too_old"
