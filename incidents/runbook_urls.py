"""Addresses of runbooks and of following them."""

from django.urls import path

from incidents.views import runbook_edits, runbook_runs, runbooks

urlpatterns = [
    path("runbooks/", runbooks.runbook_list, name="runbook-list"),
    path("runbooks/add/", runbook_edits.runbook_add, name="runbook-add"),
    path("runbooks/preview/", runbook_edits.runbook_preview, name="runbook-preview"),
    path("runbooks/runs/<int:pk>/", runbook_runs.runbook_run, name="runbook-run"),
    path("runbooks/runs/<int:pk>/tick/", runbook_runs.runbook_tick, name="runbook-tick"),
    path("runbooks/runs/<int:pk>/finish/", runbook_runs.runbook_finish, name="runbook-finish"),
    path("runbooks/<slug:slug>/", runbooks.runbook_detail, name="runbook-detail"),
    path("runbooks/<slug:slug>/edit/", runbook_edits.runbook_edit, name="runbook-edit"),
    path("runbooks/<slug:slug>/versions/", runbook_edits.runbook_versions, name="runbook-versions"),
    path("runbooks/<slug:slug>/restore/", runbook_edits.runbook_restore, name="runbook-restore"),
    path("runbooks/<slug:slug>/care/", runbook_edits.runbook_care, name="runbook-care"),
    path("runbooks/<slug:slug>/archive/", runbook_edits.runbook_archive, name="runbook-archive"),
    path("runbooks/<slug:slug>/start/", runbook_runs.runbook_start, name="runbook-start"),
    path("incidents/<int:pk>/runbook/", runbook_runs.incident_runbook, name="incident-runbook"),
]
