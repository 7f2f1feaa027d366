"""The runbook that was followed in the demo's outage, step by step. Gone with the teams."""

from datetime import timedelta

from accounts.actions import Author
from accounts.models import User
from incidents.actions.runbook_runs import finish_run, start_run, tick_step
from incidents.models import Incident, Runbook, RunbookRun, SectionKind
from incidents.rules.markdown import parts_of, steps_of

WORKER = "oncall@demo.example"
# Section → minutes from detection at which its steps were ticked, in their order; the others did not apply.
TICKED = {
    "detection": (5, 6, 7, 8, 8, 9),
    "containment": (12,),
    "mitigation": (39,),
    "validation": (66, 67, 68, 70, 84),
}
FINISHED = 88


def follow_demo_runbook() -> int:
    """Follow the runbook of the outage where nobody did yet; returns how many steps were ticked."""
    incident = Incident.objects.filter(source_kind="demo", source_key="demo:outage", team__is_demo=True).first()
    worker = User.objects.filter(email=WORKER).first()
    book = Runbook.objects.filter(slug="provider-outage", archived_at=None).first()
    if not (incident and worker and book) or RunbookRun.objects.filter(incident=incident).exists():
        return 0
    author, begin = Author(user=worker), incident.detected_at
    run = start_run(author=author, book=book, incident=incident, at=begin + timedelta(minutes=4))
    ticked = 0
    for kind in SectionKind.values:
        steps = steps_of(parts_of(run.version.sections[kind], kind))
        for step, minute in zip(steps, TICKED.get(kind, ()), strict=False):
            ticked += tick_step(author=author, run=run, step=step, at=begin + timedelta(minutes=minute))
    finish_run(author=author, run=run, at=begin + timedelta(minutes=FINISHED))
    return ticked
