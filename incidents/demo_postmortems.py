"""Postmortems of the demo's past incidents: one published with action items, one being written. Gone with the teams."""

from datetime import datetime, timedelta
from typing import Any

from accounts.actions import Author
from accounts.models import User
from incidents.actions.action_items import add_item, move_item
from incidents.actions.postmortems import edit_postmortem, publish, start_postmortem, submit
from incidents.models import ActionItem, Incident, Postmortem
from incidents.rules.postmortems import SECTIONS, read_outline

WRITER, SECOND = "oncall@demo.example", "admin@demo.example"
DAY = timedelta(days=1)
OUTAGE = {
    "summary": "OpenAI answered most calls with 503s, time-outs and 429s for fifty minutes. Calls were retried, then"
    " fell back to Anthropic, so that most people got an answer, but late. A failover by hand ended the waiting before"
    " the provider was back.",
    "root_cause": "Nothing in our way of calling a model expected a provider to fail slowly: a call waited 30 seconds"
    " before it fell back, and each of three attempts waited again.",
    "contributing": "- Retries of every client went to the provider that was failing and kept it busy.\n"
    "- The order of providers for a failover was in nobody's head and in no runbook.\n"
    "- Batch summaries ran at the same hour and took part of the quota of the provider that still worked.",
    "went_well": "- Nine minutes after the alert the evidence named the provider, and everybody worked on that.\n"
    "- Fallbacks worked as built: nine in ten requests still got an answer.",
    "went_badly": "- Half an hour passed between knowing what it was and failing over.\n"
    "- Support heard of it from customers, not from us.",
    "luck": "It was before the busiest hour. At noon the quota of the second provider would not have been enough.",
}
OUTAGE_WHYS = """- Why did people wait? Calls to OpenAI failed slowly, not at once
  - Why did that reach them? A call waited 30 s, three times, before it fell back
    - Why so long? The time-out is the one of the library; nobody chose it
      - Why was it never seen? Slow failures were never part of a drill
  - Why did the failover take half an hour? Its order had to be found out first
    - Why? The runbook said “fail over” and not to whom
"""
RETRIEVAL = {
    "summary": "After a rebuild of the search index, most questions of two features found no documents for three hours."
    " Models answered as fast as ever, without sources; people asked again.",
    "went_well": "- The change marker of the rebuild was the first suspect, with the right time.",
}
RETRIEVAL_WHYS = (
    "- Why were answers without sources? The search found nothing\n  - Why? The rebuild dropped part of the index\n"
)


def create_demo_postmortems(now: datetime) -> int:
    """Make them for the demo's incidents where none has one yet; returns how many were made. Needs the incidents."""
    past = Incident.objects.filter(source_kind="demo", team__is_demo=True).exclude(resolved_at=None)
    known = {incident.source_key: incident for incident in past.select_related("team")}
    people = {user.email: Author(user=user) for user in User.objects.filter(email__in=(WRITER, SECOND))}
    if len(people) < 2 or Postmortem.objects.filter(incident__in=known.values()).exists():
        return 0
    made = 0
    if outage := known.get("demo:outage"):
        _outage(outage, people[WRITER], people[SECOND], now)
        made += 1
    if retrieval := known.get("demo:retrieval"):
        _retrieval(retrieval, people[WRITER], now)
        made += 1
    return made


def _outage(incident: Incident, writer: Author, second: Author, now: datetime) -> None:
    postmortem, ended = _written(incident, writer, OUTAGE, OUTAGE_WHYS)
    today = now.date()
    _item(postmortem, writer, second, "mitigate", "Choose a time-out of 8 s and one retry for every model call",
          "p95 of failed model calls below 10 s", today - 2 * DAY)  # fmt: skip
    _item(postmortem, second, second, "process", "Write the order of providers into the runbook and rehearse it",
          "A provider-outage drill is mitigated within 5 minutes", today + 9 * DAY)  # fmt: skip
    done = _item(postmortem, writer, writer, "detect", "Tell support when an incident of SEV2 or worse is declared",
                 "Support is told within 5 minutes", today - DAY)  # fmt: skip
    submit(author=writer, postmortem=postmortem, at=ended + timedelta(hours=20))
    publish(author=second, postmortem=postmortem, at=ended + timedelta(hours=26))
    move_item(
        author=writer, item=done, state="done", note="A route to their channel; tried on Thursday: 1 minute", at=now
    )


def _retrieval(incident: Incident, writer: Author, now: datetime) -> None:
    postmortem, _ = _written(incident, writer, RETRIEVAL, RETRIEVAL_WHYS)
    _item(postmortem, writer, writer, "detect", "Alert on empty retrievals of each feature that searches", "", None)


def _written(incident: Incident, writer: Author, texts: dict[str, str], whys: str) -> tuple[Postmortem, datetime]:
    """A postmortem with these texts, started four hours after the end, and when that end was."""
    ended = incident.resolved_at or incident.detected_at
    postmortem = start_postmortem(author=writer, incident=incident, at=ended + timedelta(hours=4))
    values: dict[str, Any] = {name: texts.get(name, getattr(postmortem, name)) for name, _, _ in SECTIONS}
    values |= {"title": postmortem.title, "whys": read_outline(whys), "recovered_at": postmortem.recovered_at}
    return edit_postmortem(author=writer, postmortem=postmortem, base=postmortem.version, values=values), ended


def _item(postmortem: Postmortem, writer: Author, owner: Author, kind: str, text: str, measure: str, due) -> ActionItem:
    values = {"kind": kind, "text": text, "measure": measure, "owner": owner.user, "due": due}
    return add_item(author=writer, postmortem=postmortem, values=values)
