"""Addresses of objectives."""

from django.urls import path

from incidents.api.slos import SlosView
from incidents.views import slos

urlpatterns = [
    path("slos/", slos.slo_list, name="slo-list"),
    path("slos/add/", slos.slo_add, name="slo-add"),
    path("slos/preview/", slos.slo_preview, name="slo-preview"),
    path("slos/<int:pk>/", slos.slo_detail, name="slo-detail"),
    path("slos/<int:pk>/edit/", slos.slo_edit, name="slo-edit"),
    path("slos/<int:pk>/archive/", slos.slo_archive, name="slo-archive"),
    path("api/v1/slos", SlosView.as_view(), name="api-slos"),
]
