"""Addresses of objectives and synthetic checks."""

from django.urls import path

from incidents.api.slos import SlosView
from incidents.views import canaries, slos

urlpatterns = [
    path("slos/", slos.slo_list, name="slo-list"),
    path("slos/add/", slos.slo_add, name="slo-add"),
    path("slos/preview/", slos.slo_preview, name="slo-preview"),
    path("slos/<int:pk>/", slos.slo_detail, name="slo-detail"),
    path("slos/<int:pk>/edit/", slos.slo_edit, name="slo-edit"),
    path("slos/<int:pk>/archive/", slos.slo_archive, name="slo-archive"),
    path("alerts/checks/", canaries.canary_list, name="canary-list"),
    path("alerts/checks/add/", canaries.canary_add, name="canary-add"),
    path("alerts/checks/<int:pk>/", canaries.canary_detail, name="canary-detail"),
    path("alerts/checks/<int:pk>/edit/", canaries.canary_edit, name="canary-edit"),
    path("alerts/checks/<int:pk>/run/", canaries.canary_run, name="canary-run"),
    path("api/v1/slos", SlosView.as_view(), name="api-slos"),
]
