"""The demo's past stories as incidents: declared, triaged by the evidence there was, mitigated, resolved.

Each act goes through the function that people's acts go through, at the moment it is said to have happened. Removed
with the teams.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accounts.actions import Author
from accounts.models import Team, User
from incidents.actions.incidents import acknowledge, declare_incident, move_incident
from incidents.actions.notes import write_note
from incidents.actions.roles import give_role
from incidents.actions.triage import Plan, choose_mode, mitigate, origin_of, unmitigate
from incidents.models import Control, Incident, IncidentRole
from incidents.triage import Assessment, assess_incident, mitigations, shown
from incidents.triage.window import usual_of
from usage.demo.stories import BLOAT, OUTAGE, RETRIEVAL, Story

DESK = Author(label="demo")
ON_CALL, MANAGER = "oncall@demo.example", "admin@demo.example"
SOURCE = "demo"


def _minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@dataclass(frozen=True)
class Played:
    """A story as an incident; every length counts from the beginning of its impact.

    does: key of the mitigation, by its beginning (incidents.rules.triage.advice); undone: when its control was ended.
    by_desk: whether a rule declared it, else a person.
    """

    story: Story
    team: str
    title: str
    severity: int
    mode: str
    detected: timedelta
    decided: timedelta
    does: str
    done: timedelta
    over: timedelta
    resolved: timedelta
    why: str
    by_desk: bool = True
    undone: timedelta | None = None
    notes: tuple[tuple[timedelta, str], ...] = field(default_factory=tuple)


_BLOAT, _RETRIEVAL = BLOAT.ends - BLOAT.starts, RETRIEVAL.ends - RETRIEVAL.starts
PLAYED = (
    Played(
        BLOAT, "support", "Drafted answers cost more than twice as much", 3, "prompt",
        detected=timedelta(hours=14), decided=timedelta(hours=15), does="back:prompt_version", done=_BLOAT,
        over=_BLOAT + timedelta(hours=1), resolved=_BLOAT + timedelta(hours=4),
        why="v13 is live again; v14 sent the whole case history", by_desk=False,
        notes=(
            (timedelta(hours=20), "Two customers had asked for the full history. A shorter one will do: v15."),
            (_BLOAT + timedelta(hours=3), "Tokens per call are where they were."),
        ),
    ),
    Played(
        OUTAGE, "support", "Calls to OpenAI fail or time out", 2, "provider",
        detected=_minutes(7), decided=_minutes(16), does="failover:openai", done=_minutes(46), over=_minutes(58),
        resolved=_minutes(95), why="Their status page has it now; Anthropic answers", undone=_minutes(90),
        notes=(
            (_minutes(12), "Retries end in fallbacks to Anthropic, so most answers come, but slowly."),
            (_minutes(57), "OpenAI reports it fixed. Watching before the failover is taken back."),
        ),
    ),
    Played(
        RETRIEVAL, "search", "Answers without sources after an index rebuild", 2, "retrieval",
        detected=_minutes(16), decided=_minutes(41), does="rollback:", done=_RETRIEVAL,
        over=_RETRIEVAL + _minutes(12), resolved=_RETRIEVAL + _minutes(70), why="Index restored to web-306",
        notes=((_minutes(63), "The rebuild dropped the last month. Restoring web-306 takes two hours."),),
    ),
)  # fmt: skip


def create_demo_incidents(window_end: datetime) -> int:
    """Make them where no demo team has an incident yet; returns how many were made. The roll-ups must be up to date."""
    teams = {team.slug: team for team in Team.objects.filter(is_demo=True)}
    people = {user.email: user for user in User.objects.filter(email__in=(ON_CALL, MANAGER))}
    if Incident.objects.filter(team__in=teams.values()).exists() or len(people) < 2:
        return 0
    mine = [played for played in PLAYED if played.team in teams]
    for played in mine:
        _play(played, teams[played.team], people, window_end)
    return len(mine)


def _play(played: Played, team: Team, people: dict[str, User], window_end: datetime) -> None:
    start = window_end + played.story.starts
    worker, manager = (Author(user=people[name]) for name in (ON_CALL, MANAGER))
    incident = declare_incident(
        author=DESK if played.by_desk else manager,
        team=team,
        title=played.title,
        severity=played.severity,
        at=start + played.detected,
        impact_started_at=start,
        source_kind=SOURCE,
        source_key=f"{SOURCE}:{played.story.key}",
    )
    taken = start + played.detected + _minutes(3)
    acknowledge(author=worker, incident=incident, at=taken)
    give_role(author=worker, incident=incident, role=IncidentRole.Role.COMMANDER, user=worker.user, at=taken)
    _decide(played, incident, worker, start)
    _mitigate(played, incident, worker, start)
    for length, text in played.notes:
        write_note(author=worker, incident=incident, text=text, at=start + length)
    for to, length in ((Incident.State.MONITORING, played.over), (Incident.State.RESOLVED, played.resolved)):
        incident = move_incident(author=worker, incident=incident, to=to, at=start + length)


def _decide(played: Played, incident: Incident, author: Author, start: datetime) -> None:
    at = start + played.decided
    found = _assessed(incident, at)
    facts = shown(found, scope=incident.scope, team=incident.team.slug if incident.team else "")
    choose_mode(author=author, incident=incident, mode=played.mode, found=facts, at=at)


def _assessed(incident: Incident, at: datetime) -> Assessment:
    """What the desk said then: the incident as it was open, at that moment."""
    return assess_incident(incident, (incident.team_id,) if incident.team_id else (), at)


def _mitigate(played: Played, incident: Incident, author: Author, start: datetime) -> None:
    """The mitigation of the story, as triage offered it then; nothing where the evidence did not offer it."""
    at = start + played.done
    found = _assessed(incident, at)
    offered = next((one for one in mitigations(found, played.mode) if one.key.startswith(played.does)), None)
    if offered is None:
        return
    facts = {name: getattr(offered, name) for name in ("title", "kind", "signal", "what", "where", "watched", "change")}
    plan = Plan(team=incident.team, usual=usual_of(found, offered), **facts)
    ends = at + timedelta(hours=4) if offered.kind == "control" else None
    mitigate(author=author, incident=incident, plan=plan, reason=played.why, expires_at=ends, at=at)
    if played.undone is not None:
        control = Control.objects.get(origin_key=origin_of(incident))
        unmitigate(author=author, incident=incident, control=control, reason="Back to usual", at=start + played.undone)
