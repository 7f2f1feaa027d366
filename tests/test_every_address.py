"""What holds for every address: a stranger gets 404, who may only look changes nothing, a form needs its token.

Addresses come from the URLconf, so a new one is tested, or fails here until it is said what it is about.
"""

from typing import Any

import pytest
from django.db import models
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from accounts.actions import create_api_key
from accounts.models import AuditEntry, Membership, Role
from budgets import models as budgets
from incidents import models as incidents
from tests.anything import anything
from tests.cast import Cast, make_user
from usage import models as usage

pytestmark = pytest.mark.django_db

ROOMS = ("accounts", "usage", "incidents", "budgets", "aiops_site")

# About nobody's team: parts of pages, guides, and a run over the figures of everybody.
OPEN = {"incident-part", "product-part", "guide", "reconcile-run"}
# Posted to by whoever may look: what is their own, what answers without keeping anything, and what looks after figures.
# The last is refused with words.
ANYBODY = {
    "profile", "channel-add", "route-add", "silence-preview", "runbook-preview", "reconcile-start", "status-rss",
    "budget-change-withdraw",
}  # fmt: skip

# Where a route begins → what its number is the key of.
ABOUT: dict[str, type[models.Model]] = {
    "settings/members/": Membership,
    "changes/": usage.ChangeMarker,
    "reconcile/": usage.Reconciliation,
    "prices/": usage.Price,
    "prices/limits/": usage.ProviderLimit,
    "prices/repricings/": usage.Repricing,
    "alerts/": incidents.Alert,
    "alerts/rules/": incidents.AlertRule,
    "alerts/silences/": incidents.Silence,
    "alerts/channels/": incidents.Channel,
    "alerts/routes/": incidents.NotificationRoute,
    "alerts/deliveries/": incidents.Delivery,
    "alerts/checks/": incidents.Canary,
    "oncall/rotas/": incidents.Rota,
    "oncall/overrides/": incidents.RotaOverride,
    "oncall/escalation/": incidents.EscalationPolicy,
    "oncall/pages/": incidents.Escalation,
    "controls/": incidents.Control,
    "controls/policies/": incidents.ModePolicy,
    "triage/alert/": incidents.Alert,
    "incidents/": incidents.Incident,
    "incidents/status-page/": incidents.StatusComponent,
    "incidents/owners/": incidents.Responsibility,
    "runbooks/": incidents.Runbook,
    "runbooks/runs/": incidents.RunbookRun,
    "drills/": incidents.Drill,
    "slos/": incidents.Slo,
    "postmortems/": incidents.Postmortem,
    "postmortems/actions/": incidents.ActionItem,
    "budgets/": budgets.Budget,
    "budgets/approvals/": budgets.PendingChange,
    "budgets/events/": budgets.PlannedEvent,
    "spend/anomalies/": budgets.Anomaly,
    "guard/limits/": budgets.RateLimit,
    "attribution/shared/": budgets.SharedCost,
    "attribution/rules/": usage.AttributionRule,
    "reports/": budgets.Report,
    "reports/recipients/": budgets.ReportRecipient,
    "reports/commitments/": budgets.Commitment,
    "backlog/": budgets.BacklogItem,
}


def addresses() -> dict[str, tuple[str, URLPattern]]:
    """Name → route and pattern of every page of ours."""
    found = {}

    def collect(patterns, prefix: str) -> None:
        for entry in patterns:
            route = prefix + str(entry.pattern)
            if hasattr(entry, "url_patterns"):
                collect(entry.url_patterns, route)
            elif (module := entry.callback.__module__).split(".")[0] in ROOMS and ".api" not in module:
                found[entry.name] = route, entry

    collect(get_resolver().url_patterns, "")
    return found


def of_support(cast: Cast) -> dict[str, str]:
    """Name → address of everything that belongs to team support, or is about it."""
    rows = {start: anything(model, cast.support, cast.tara) for start, model in ABOUT.items()}
    incident, budget = rows["incidents/"], rows["budgets/"]
    known: dict[str, Any] = {
        "entry": anything(incidents.TimelineEntry, cast.support, cast.tara, incident=incident).pk,
        "control": rows["controls/"].pk,
        "message": anything(incidents.Message, cast.support, cast.tara, incident=incident).pk,
        "grant_id": anything(budgets.Grant, cast.support, cast.tara, budget=budget).pk,
        "prefix": create_api_key(team=cast.support, name="x", scopes=("read",))[0].prefix,
        "team": cast.support.slug,
        "run_id": rows["reconcile/"].pk,
        "number": 1,
        "form": "json",
        "trace_id": "x",
        "conversation_id": "x",
        "token": "x",
    }
    found = {}
    for name, (route, entry) in addresses().items():
        if name in OPEN or not entry.pattern.converters:
            continue
        given = known | {"slug": rows["runbooks/"].slug if route.startswith("runbooks/") else cast.support.slug}
        if "pk" in entry.pattern.converters:
            given["pk"] = rows[max((one for one in ABOUT if route.startswith(one)), key=len)].pk
        found[name] = reverse(name, kwargs={key: given[key] for key in entry.pattern.converters})
    return found


def every(cast: Cast) -> dict[str, str]:
    """Those, and the pages that are about nothing in particular."""
    plain = {name: reverse(name) for name, (_, entry) in addresses().items() if not entry.pattern.converters}
    return plain | of_support(cast)


def answers(client: Client, address: str) -> set[int]:
    """The statuses of a GET and of a POST, without that of a method it does not take."""
    return {client.get(address).status_code, client.post(address).status_code} - {405}


def test_nothing_of_another_team_is_there(client, cast):
    client.force_login(cast.stan)
    found = {name: answers(client, address) for name, address in of_support(cast).items()}
    assert found.pop("shared-remove") == {403}  # the organisation's, not a team's
    assert {name: statuses for name, statuses in found.items() if statuses != {404}} == {}


def test_who_may_only_look_changes_nothing(client, cast):
    client.force_login(cast.vera)
    known = every(cast)
    assert set(known) > ANYBODY
    before = AuditEntry.objects.count()
    found = {name: client.post(address).status_code for name, address in known.items() if name not in ANYBODY}
    assert {name: status for name, status in found.items() if status not in (403, 404, 405)} == {}
    assert AuditEntry.objects.count() == before


def test_no_form_is_taken_without_its_token(cast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ada)
    found = {name: client.post(address).status_code for name, address in every(cast).items() if name != "status-rss"}
    assert {name: status for name, status in found.items() if status not in (403, 405)} == {}


def test_every_address_but_the_open_ones_leads_strangers_to_the_door(client, cast):
    found = {name: answers(client, address) for name, address in of_support(cast).items() if name != "rota-feed"}
    assert {name: statuses for name, statuses in found.items() if statuses != {302}} == {}


@pytest.mark.parametrize("name", ["incident", "spend", "owner-list", "drill-start"])
def test_a_desk_without_a_team_leads_to_making_the_first(client, name):
    client.force_login(make_user("ada", Role.ADMIN))
    assert reverse("team_create") in client.get(reverse(name)).content.decode()
