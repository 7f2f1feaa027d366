"""Addresses of triage, mitigations and whether they helped."""

from django.urls import path

from incidents.views import mitigations, triage

urlpatterns = [
    path("triage/", triage.triage_window, name="triage-window"),
    path("triage/alert/<int:pk>/", triage.triage_alert, name="triage-alert"),
    path("incidents/<int:pk>/triage/", triage.incident_triage, name="incident-triage"),
    path("incidents/<int:pk>/mitigations/", mitigations.incident_mitigations, name="incident-mitigations"),
    path(
        "incidents/<int:pk>/mitigations/<int:control>/end/",
        mitigations.incident_mitigation_end,
        name="incident-mitigation-end",
    ),
    path("incidents/<int:pk>/watch/", mitigations.incident_watch, name="incident-watch"),
]
