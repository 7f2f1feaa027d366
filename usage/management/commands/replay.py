"""`manage.py replay FILE…`: streams traces through the real HTTP ingest. docs/replay.md explains every option."""

import json
import sys
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from usage.replay.ndjson import Unreadable
from usage.replay.run import Options, Replay
from usage.replay.state import OtherReplay
from usage.replay.traces import UnknownTrace


def _keys(given: list[str]) -> tuple[tuple[str, str], ...]:
    """(team, key) pairs in the order of the names, so that clients keep their team however the keys are given."""
    pairs = [(text.partition("=")[0], text.partition("=")[2]) if "=" in text else ("", text) for text in given]
    if len({team for team, _ in pairs}) < len(pairs):
        raise CommandError("Give several keys as --key TEAM=KEY, each team once.")
    return tuple(sorted(pairs))


def _end(text: str | None) -> datetime | str | None:
    if text in (None, "now", "keep"):
        return text
    try:
        end = datetime.fromisoformat(text)
    except ValueError as problem:
        raise CommandError(f"--end {text}: write now, keep, or a moment such as 2026-05-01T00:00:00Z.") from problem
    if end.tzinfo is None:
        raise CommandError(f"--end {text}: say the zone, for example {text}Z.")
    return end


class Command(BaseCommand):
    """Parses, runs, prints the summary as JSON; fails if anything was rejected or not acknowledged."""

    # It speaks HTTP only, so it runs on a machine that has no database settings.
    requires_system_checks = []
    help = "Replay LLM traces (ServeGen, Azure 2023, Mooncake) or a file of events through the HTTP ingest."

    def add_arguments(self, parser):
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the desk answers")
        parser.add_argument(
            "--key", action="append", required=True, metavar="[TEAM=]KEY", help="repeat to spread clients over teams"
        )
        parser.add_argument("--events", type=int, help="about how many events per trace (ServeGen: 200,000)")
        parser.add_argument("--end", help="when the trace ends: now (default), keep, or an ISO moment with a zone")
        parser.add_argument("--speed", type=float, metavar="N", help="live: starts now and runs N times as fast")
        parser.add_argument("--batch", type=int, default=1000, help="events per request")
        parser.add_argument("--connections", type=int, default=4)
        parser.add_argument("--gzip", dest="encoding", action="store_const", const="gzip", default="gzip")
        parser.add_argument("--zstd", dest="encoding", action="store_const", const="zstd")
        parser.add_argument("--plain", dest="encoding", action="store_const", const="", help="no compression")
        parser.add_argument("--rate", type=float, help="at most so many events per second")
        parser.add_argument("--limit", type=int, help="stop after so many events")
        parser.add_argument("--seed", default="aiops")
        parser.add_argument("--state", type=Path, help="state file (default: DATA_DIR/replay/<digest>.json)")
        parser.add_argument("--fresh", action="store_true", help="forget the state: new times, from the start")
        parser.add_argument("--give-up", type=float, default=300, metavar="SECONDS", help="per batch; default 300")

    def handle(self, *, state, fresh, key, end, speed, **given):
        for name in ("events", "batch", "connections", "rate", "limit"):
            if given[name] is not None and given[name] <= 0:
                raise CommandError(f"--{name} must be above 0.")
        if speed is not None and (speed <= 0 or end is not None):
            raise CommandError("--speed must be above 0 and starts now, so it does not go with --end.")
        names = Options.__dataclass_fields__.keys() & given.keys()
        chosen = {name: given[name] for name in names} | {"files": tuple(given["files"])}
        options = Options(keys=_keys(key), end=_end(end), speed=speed, **chosen)
        summary = self._run(options, state, fresh)
        self.stdout.write(json.dumps(summary, indent=2))
        if summary["problem"]:
            raise CommandError(summary["problem"])
        if summary["rejected"]:
            raise CommandError(f"{summary['rejected']} events were rejected.")
        if not summary["complete"]:
            raise CommandError(f"{summary['unacknowledged']} events not acknowledged; the same command goes on.")

    def _run(self, options: Options, state: Path | None, fresh: bool) -> dict:
        try:
            path = state or settings.DATA_DIR / "replay" / f"{options.name()[:16]}.json"
            replay = Replay(options, path, fresh=fresh, out=sys.stderr)
        except (UnknownTrace, Unreadable, OtherReplay, OSError) as problem:
            raise CommandError(str(problem)) from problem
        self._announce(replay)
        return replay.run()

    def _announce(self, replay: Replay) -> None:
        for trace, shift in replay.shifts():
            told = replay.place(trace, shift)
            print(
                f"{told['trace']}: about {trace.expected:,} events, {told['first']} to {told['last']}", file=sys.stderr
            )
            if told["made_up"]:
                print("  made up, not in the trace: " + "; ".join(told["made_up"]), file=sys.stderr)
        if replay.is_again:
            print(
                "This replay was finished before: sending it again with the same times, so all should be duplicates."
                " --fresh starts anew with new times.",
                file=sys.stderr,
            )
        elif replay.state.batches_done:
            print(f"Going on after batch {replay.state.batches_done}.", file=sys.stderr)
