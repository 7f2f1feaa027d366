"""Runbooks: reading, search, safe Markdown, writing without losing an edit, versions, and what ships with the desk."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.core.exceptions import ValidationError
from django.urls import resolve, reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions import shipped
from incidents.actions.runbooks import Outdated, add_step, archive_runbook, care_for, create_runbook, edit_runbook
from incidents.models import AlertRule, FailureMode, Runbook, RunbookSection, SectionKind
from incidents.queries.runbooks import search, visible_runbooks
from incidents.rules.markdown import (
    TAGS,
    Figure,
    Places,
    figures_of,
    html_of,
    parts_of,
    steps_of,
    unknown_figures,
    unmarked,
)
from incidents.rules.runbooks import TEMPLATE, difference
from usage.metrics import CATALOGUE, DIMENSION_NAMES

pytestmark = pytest.mark.django_db


class Tags(HTMLParser):
    """The tags, attributes and links that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.attributes, self.links = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]


def write(cast, title: str = "Index is stale", team=None, **sections) -> Runbook:
    texts = dict.fromkeys(SectionKind.values, "") | {"detection": "- [ ] Look at it"} | sections
    facts = {"title": title, "failure_mode": "retrieval", "sections": texts}
    return create_runbook(author=Author(user=cast.mia), team=team or cast.support, **facts)


def edit(cast, book: Runbook, base: int, note: str = "", **sections) -> Runbook:
    texts = book.versions.get(number=base).sections | sections
    facts = {"title": book.title, "failure_mode": book.failure_mode, "sections": texts, "note": note}
    return edit_runbook(author=Author(user=cast.mia), book=book, base=base, **facts)


def rule(book: Runbook, team=None) -> AlertRule:
    section = RunbookSection.objects.get(runbook=book, kind="containment")
    facts = {"kind": "threshold", "metric": "error_rate", "threshold": "0.05", "severity": "critical", "route": "page"}
    return AlertRule.objects.create(
        slug="too-many", name="Too many fail", team=team, first_mitigation="Fail over", runbook_section=section, **facts
    )


# --- Markdown -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt&#58;alert(1))",
        "[click](data:text/html;base64,PHNjcmlwdD4=)",
        "[click](desk:javascript:alert(1))",
        "[click](desk://evil.example/)",
        "![x](data:image/svg+xml;base64,PHN2Zz48c2NyaXB0Pg==)",
        '<svg onload="alert(1)"><script>alert(1)</script></svg>',
        '<img src=x onerror="alert(1)">',
        '<a href="javascript:alert(1)">x</a>',
        '[x](https://example.com "a\\" onmouseover=\\"alert(1)")',
        '<https://example.com/"onclick=alert(1)>',
        "- [ ] <iframe src=https://evil.example></iframe>",
    ],
    ids=str,
)
def test_script_in_markdown_is_text_at_most(text):
    parts = parts_of(text, "detection")
    read = Tags()
    read.feed("".join(part.html + "".join(inner.html for inner in part.parts) for part in parts) + html_of(text))
    assert read.names <= TAGS and read.attributes <= {"href", "title", "rel"}
    assert all(link.startswith(("https://", "/")) and not link.startswith("//") for link in read.links)


def test_steps_commands_and_figures_become_parts_of_their_own():
    text = (
        "Look.\n\n- [ ] Ask **her** {figure:error_rate by model}\n\n  ```sh\n  curl <x>\n  ```\n- [x] Then him\n\nDone."
    )
    parts = parts_of(text, "mitigation")
    assert [part.kind for part in parts] == ["text", "step", "step", "text"]
    first, second = steps_of(parts)
    assert (first.key, first.plain, second.key, second.plain) == (
        "mitigation:1",
        "Ask her",
        "mitigation:2",
        "Then him",
    )
    assert first.parts[1].code == "curl <x>" and first.parts[1].label == "sh"
    assert figures_of(parts) == [Figure("error_rate", "model")]
    assert "{figure" not in first.parts[0].html


def test_a_plain_list_is_no_list_of_steps():
    assert steps_of(parts_of("- one\n- two")) == []


def test_links_of_the_desk_open_with_the_window_and_slice():
    places = Places("from=2026-01-01T10:00Z", "team=support&model=a%20b", "12")
    text = (
        "[a](desk:/events/?{window}&{scope}&status=error) [b](desk:/incidents/{incident}/) [c](desk:/changes/?{other})"
    )
    (part,) = parts_of(text, places=places)
    assert 'href="/events/?from=2026-01-01T10:00Z&amp;team=support&amp;model=a%20b&amp;status=error"' in part.html
    assert 'href="/incidents/12/"' in part.html and 'href="/changes/"' in part.html
    assert 'href="/events/?range=1h&amp;status=error"' in parts_of(text)[0].html


def test_headings_of_a_text_stay_below_those_of_the_page():
    assert html_of("# Big") == "<h3>Big</h3>\n"


def test_words_cut_out_of_a_text_are_read_without_its_marks():
    piece = (
        "rate} - [ ] Look at [the **events**](desk:/events/?{window}) {figure:error_rate by model} `now` [a](desk:/b"
    )
    assert unmarked(piece) == "Look at the events now a"


def test_a_figure_that_no_metric_has_is_found():
    assert unknown_figures(
        "{figure:error_rate} {figure:happiness} {figure:errors by mood}", CATALOGUE, DIMENSION_NAMES
    ) == [
        "{figure:happiness}",
        "{figure:errors by mood}",
    ]


def test_a_difference_shows_two_lines_around_a_change():
    before = "\n".join("abcdefghijklmnop")
    after = before.replace("c", "C").replace("o", "O")
    signs = "".join(line.sign for line in difference(before, after))
    assert signs == "  -+  …  -+ " and difference(before, before) == []


# --- Those that ship ----------------------------------------------------------------------------------------------
def test_nine_runbooks_and_that_of_the_desk_ship_with_all_six_sections():
    books = Runbook.objects.filter(is_shipped=True)
    assert books.count() == 9 + 1 and not RunbookSection.objects.filter(runbook__in=books).count() % 6
    assert {book.failure_mode for book in books} <= set(FailureMode.values)


@pytest.mark.parametrize("slug", sorted(shipped.shipped_runbooks()))
def test_a_shipped_runbook_can_be_followed_without_other_context(slug):
    sections = shipped.shipped_runbooks()[slug].sections
    parts = {kind: parts_of(text, kind) for kind, text in sections.items()}
    assert all(steps_of(found) for found in parts.values()), "every section has steps to tick"
    assert figures_of(parts["detection"]) and figures_of(parts["validation"]), "figures beside the steps"
    assert any(sign.isdigit() for sign in sections["validation"]), "validation by numbers"
    assert not any(unknown_figures(text, CATALOGUE, DIMENSION_NAMES) for text in sections.values())


@pytest.mark.parametrize("slug", sorted(shipped.shipped_runbooks()))
def test_every_link_of_a_shipped_runbook_leads_to_a_page(slug):
    text = "\n".join(shipped.shipped_runbooks()[slug].sections.values())
    links = set(re.findall(r"\]\((\S+?)\)", text))
    assert links and all(link.startswith("desk:/") for link in links)
    for link in links:
        assert resolve(Places(incident="7").url(link).partition("?")[0])


def test_an_upgrade_brings_new_texts_to_those_nobody_edited(monkeypatch, cast):
    edited = Runbook.objects.get(slug="latency")
    edit(cast, edited, edited.version, detection="Ours")
    texts = {slug: text._replace(title=f"{text.title} 2") for slug, text in shipped.shipped_runbooks().items()}
    monkeypatch.setattr(shipped, "shipped_runbooks", lambda: texts)
    assert shipped.install_runbooks() == 9 and shipped.install_runbooks() == 0
    book = Runbook.objects.get(slug="cost-spike")
    assert (book.title, book.version, book.versions.count()) == ("Cost spike 2", 2, 2)
    assert Runbook.objects.get(slug="latency").title == "Latency"


def test_what_an_owner_set_survives_an_upgrade(monkeypatch, cast):
    book = Runbook.objects.get(slug="cost-spike")
    care_for(author=Author(user=cast.ada), book=book, owner=cast.fatima, review_by=timezone.localdate())
    texts = {slug: text._replace(title=f"{text.title} 2") for slug, text in shipped.shipped_runbooks().items()}
    monkeypatch.setattr(shipped, "shipped_runbooks", lambda: texts)
    shipped.install_runbooks()
    book.refresh_from_db()
    assert (book.owner, book.version) == (cast.fatima, 2)


# --- List, search, page -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "hit"),
    [
        ("stale", True),
        ("retriev fail", True),
        ("zebra", True),
        ("zebras crossing", True),
        ("zebra nonsense", False),
        ("&|!", False),
    ],
)
def test_search_reads_title_failure_mode_and_text(cast, words, hit):
    book = write(cast, mitigation="Rebuild what the zebra crosses at night.")
    assert (book.pk in search(visible_runbooks(cast.mia), words)) is hit


def test_a_find_leads_to_the_section_that_says_it(client, cast):
    write(cast, mitigation="Rebuild what the zebra crosses at night.")
    client.force_login(cast.vera)
    page = client.get(reverse("runbook-list"), {"q": "zebra"}).content.decode()
    assert "/runbooks/index-is-stale/#mitigation" in page and "zebra crosses" in page


def test_the_list_says_what_is_overdue_and_owned(client, cast):
    book = write(cast)
    yesterday = timezone.localdate() - timedelta(days=1)
    care_for(author=Author(user=cast.mia), book=book, owner=cast.olu, review_by=yesterday)
    client.force_login(cast.vera)
    page = client.get(reverse("runbook-list")).content.decode()
    assert "<strong>1</strong> should have been reviewed" in page and str(cast.olu) in page


def test_a_page_has_six_anchors_and_the_rules_that_lead_there(client, cast):
    book = Runbook.objects.get(slug="provider-outage")
    rule(book, cast.support)
    client.force_login(cast.vera)
    page = client.get(reverse("runbook-detail", args=[book.slug])).content.decode()
    assert all(f'id="{kind}"' in page for kind in SectionKind.values) and "Too many fail" in page
    client.force_login(cast.stan)
    assert "Too many fail" not in client.get(reverse("runbook-detail", args=[book.slug])).content.decode()


def test_a_runbook_of_another_team_is_not_there(client, cast):
    book = write(cast)
    client.force_login(cast.stan)
    assert "Index is stale" not in client.get(reverse("runbook-list")).content.decode()
    for name in ("runbook-detail", "runbook-edit", "runbook-versions"):
        assert client.get(reverse(name, args=[book.slug])).status_code == 404


# --- Writing ------------------------------------------------------------------------------------------------------
def posted(**more) -> dict:
    return {"title": "Index is stale", "failure_mode": "retrieval", "detection": "- [ ] Look"} | more


def test_an_operator_writes_one_from_the_template(client, cast):
    client.force_login(cast.olu)
    page = client.get(reverse("runbook-add")).content.decode()
    assert TEMPLATE["communication"].splitlines()[0] in page
    answer = client.post(reverse("runbook-add"), posted(team=cast.support.pk))
    book = Runbook.objects.get(slug="index-is-stale")
    assert answer.status_code == 302 and book.sections.count() == 6
    assert AuditEntry.objects.get(action="runbook.added").team == cast.support


def test_a_new_one_may_start_as_a_copy(client, cast):
    client.force_login(cast.olu)
    page = client.get(reverse("runbook-add"), {"from": "cost-spike"}).content.decode()
    assert 'value="Cost spike, "' in page


@pytest.mark.parametrize("query", ["from=%00", "from=nothing"])
def test_a_copy_of_nothing_is_the_template(client, cast, query):
    client.force_login(cast.olu)
    page = client.get(f"{reverse('runbook-add')}?{query}").content.decode()
    assert TEMPLATE["communication"].splitlines()[0] in page


ODD_VERSIONS = ("99", "99999999999999999999", "9" * 5000, "x", "%00")


@pytest.mark.parametrize(
    "query", [f"version={odd}" for odd in ODD_VERSIONS], ids=["far", "huge", "endless", "word", "nul"]
)
def test_an_odd_version_is_not_found_or_the_latest(client, cast, query):
    client.force_login(cast.olu)
    for name in ("runbook-detail", "runbook-versions"):
        assert client.get(f"{reverse(name, args=['latency'])}?{query}").status_code in (200, 404)


def test_who_may_only_look_cannot_write(client, cast):
    book = write(cast)
    client.force_login(cast.vera)
    assert client.get(reverse("runbook-add")).status_code == 403
    assert client.post(reverse("runbook-edit", args=[book.slug]), posted(base=1)).status_code == 403


def test_a_team_operator_cannot_change_what_is_for_everybody(client, cast):
    client.force_login(cast.olu)
    assert client.post(reverse("runbook-edit", args=["cost-spike"]), posted(base=1)).status_code == 403


def test_an_edit_makes_a_version_and_a_restore_another(client, cast):
    book = write(cast)
    client.force_login(cast.olu)
    client.post(reverse("runbook-edit", args=[book.slug]), posted(base=1, detection="- [ ] Look twice", note="Twice"))
    page = client.get(reverse("runbook-versions", args=[book.slug])).content.decode()
    assert "<ins>" in page and "Look twice" in page and "Twice" in page
    client.post(reverse("runbook-restore", args=[book.slug]), {"base": 2, "number": 1})
    book.refresh_from_db()
    assert (book.version, book.versions.get(number=3).sections["detection"]) == (3, "- [ ] Look at it")
    assert AuditEntry.objects.filter(action="runbook.edited").count() == 2


def test_two_who_edit_at_once_lose_nothing(client, cast):
    book = write(cast)
    edit(cast, book, 1, detection="Hers")
    client.force_login(cast.olu)
    answer = client.post(reverse("runbook-edit", args=[book.slug]), posted(base=1, detection="Mine, typed for an hour"))
    page = answer.content.decode()
    assert answer.status_code == 409 and "Mine, typed for an hour" in page and "Hers" in page
    assert 'name="base" value="2"' in page
    answer = client.post(reverse("runbook-edit", args=[book.slug]), posted(base=2, detection="Both"))
    assert answer.status_code == 302 and book.versions.count() == 3


def test_an_edit_of_an_old_version_is_refused_by_the_action_itself(cast):
    book = write(cast)
    edit(cast, book, 1, detection="Hers")
    with pytest.raises(Outdated):
        edit(cast, book, 1, detection="His")
    assert book.versions.count() == 2


def test_saving_the_same_text_makes_no_version(cast):
    book = write(cast)
    assert edit(cast, book, 1).version == 1


def test_a_figure_that_does_not_exist_is_refused_by_section(client, cast):
    client.force_login(cast.olu)
    page = client.post(
        reverse("runbook-add"), posted(team=cast.support.pk, mitigation="{figure:luck}")
    ).content.decode()
    assert "names no metric" in page and not Runbook.objects.filter(slug="index-is-stale").exists()


@pytest.mark.parametrize(
    ("title", "says"), [("!!!", "letter or digit"), ("Runs", "taken by the desk"), ("Latency", "already")]
)
def test_a_title_that_makes_no_address_is_refused(cast, title, says):
    with pytest.raises(ValidationError, match=says):
        write(cast, title)


def test_the_preview_is_as_safe_as_the_page(client, cast):
    client.force_login(cast.olu)
    page = client.post(reverse("runbook-preview"), {"detection": "<script>x</script> **b**"}).content.decode()
    assert "<script" not in page and "<strong>b</strong>" in page


def test_one_that_rules_lead_to_stays_in_use(client, cast):
    book = write(cast)
    found = rule(book, cast.support)
    with pytest.raises(ValidationError, match="Too many fail"):
        archive_runbook(author=Author(user=cast.mia), book=book, archived=True)
    found.is_active = False
    found.save()
    client.force_login(cast.olu)
    client.post(reverse("runbook-archive", args=[book.slug]), {"archived": "1"})
    address = reverse("runbook-detail", args=[book.slug])
    assert address not in client.get(reverse("runbook-list")).content.decode()
    assert address in client.get(reverse("runbook-list"), {"archived": "1"}).content.decode()
    assert client.get(reverse("runbook-edit", args=[book.slug])).status_code == 404
    client.post(reverse("runbook-archive", args=[book.slug]), {"archived": "0"})
    assert address in client.get(reverse("runbook-list")).content.decode()


def test_a_step_added_from_elsewhere_is_a_version_like_any_other(cast):
    book = write(cast)
    add_step(author=Author(user=cast.mia), book=book, kind="detection", step="Ask\nthe index", note="From INC-1")
    version = book.versions.get(number=2)
    assert version.sections["detection"] == "- [ ] Look at it\n\n- [ ] Ask the index" and version.note == "From INC-1"
    assert len(steps_of(parts_of(version.sections["detection"]))) == 2


def test_owner_and_review_date_are_set_with_audit(client, cast):
    book = write(cast)
    client.force_login(cast.olu)
    client.post(reverse("runbook-care", args=[book.slug]), {"owner": cast.mia.pk, "review_by": "2027-01-31"})
    book.refresh_from_db()
    assert (book.owner, str(book.review_by)) == (cast.mia, "2027-01-31")
    assert AuditEntry.objects.get(action="runbook.cared_for").after["owner"] == cast.mia.email
    client.post(reverse("runbook-care", args=[book.slug]), {"owner": cast.stan.pk, "review_by": "2027-01-31"})
    book.refresh_from_db()
    assert book.owner == cast.mia, "a stranger to the team cannot own it"
