"""What differs between two texts of a runbook, and what a new one starts with."""

from dataclasses import dataclass
from difflib import SequenceMatcher

# What each section is for: said in the form.
SECTION_HELP = {
    "detection": "How one knows that it is this: the signal, its threshold, what rules it out",
    "containment": "What stops the harm within five minutes, mildest first",
    "mitigation": "What makes it work again, decision by decision",
    "validation": "The numbers that say it is over, and how long they must hold",
    "communication": "Who is told what, and when",
    "follow_up": "What is left to do when it is over",
}
TEMPLATE = {
    "detection": "What fires, at which number, and since when.\n\n"
    "- [ ] Confirm the impact: [the slice in the incident view](desk:/?{window}&{scope}) {figure:error_rate}\n"
    "- [ ] Say what it is *not*: what would look the same, and how to tell it apart",
    "containment": "Mildest first; each step with its control, its end and how it is undone.\n\n"
    "- [ ] If …, then [set a control](desk:/controls/set/?{scope}) for one hour",
    "mitigation": "- [ ] Look at [what changed](desk:/changes/?{window}) and undo the last change of the slice\n"
    "- [ ] If nothing changed: …",
    "validation": "Over when all of these have held for 15 minutes:\n\n- [ ] … is below … {figure:error_rate}",
    "communication": "- [ ] At once: …\n- [ ] Every 30 minutes: …\n- [ ] At the end: …",
    "follow_up": "- [ ] End the controls that were set: [controls](desk:/controls/)\n"
    "- [ ] Start the postmortem within two days",
}
CONTEXT = 2


@dataclass(frozen=True)
class Line:
    """One line of a comparison: sign "+" added, "-" taken out, " " unchanged, "…" unchanged lines left out."""

    sign: str
    text: str


def difference(before: str, after: str) -> list[Line]:
    """What changed between two texts, line by line, with two unchanged lines around; [] where nothing did."""
    old, new = before.splitlines(), after.splitlines()
    lines: list[Line] = []
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT):
        lines += [Line("…", "")] if lines else []
        for tag, start, end, new_start, new_end in group:
            if tag == "equal":
                lines += [Line(" ", text) for text in old[start:end]]
                continue
            lines += [Line("-", text) for text in old[start:end]]
            lines += [Line("+", text) for text in new[new_start:new_end]]
    return lines


def differing(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, list[Line]]]:
    """(section kind, its difference) of those that differ."""
    return [(kind, lines) for kind in after if (lines := difference(before.get(kind, ""), after[kind]))]
