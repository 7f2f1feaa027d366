"""Addresses of the usage room."""

from django.urls import path

from usage.api.changes import ChangesView
from usage.views import changes, reconcile

urlpatterns = [
    # Pages
    path("changes/", changes.change_list, name="change-list"),
    path("changes/add/", changes.change_add, name="change-add"),
    path("changes/<int:pk>/remove/", changes.change_remove, name="change-remove"),
    path("reconcile/", reconcile.reconcile_page, name="reconcile"),
    path("reconcile/start/", reconcile.reconcile_start, name="reconcile-start"),
    path("reconcile/<int:run_id>/", reconcile.reconcile_page, name="reconcile-run"),
    # API
    path("api/v1/changes", ChangesView.as_view(), name="api-changes"),
]
