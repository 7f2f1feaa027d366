"""Addresses of the incidents room."""

from django.urls import include, path

from incidents.api.controls import ControlsView
from incidents.views import alerts, controls

urlpatterns = [
    # Pages
    path("alerts/", alerts.alert_list, name="alert-list"),
    path("controls/", controls.control_list, name="control-list"),
    path("controls/set/", controls.control_set, name="control-set"),
    path("controls/<int:pk>/end/", controls.control_end, name="control-end"),
    path("controls/policies/", controls.policy_list, name="policy-list"),
    path("controls/policies/add/", controls.policy_edit, name="policy-add"),
    path("controls/policies/<int:pk>/", controls.policy_edit, name="policy-edit"),
    path("controls/policies/<int:pk>/remove/", controls.policy_remove, name="policy-remove"),
    path("", include("incidents.response_urls")),
    path("", include("incidents.runbook_urls")),
    # API
    path("api/v1/controls", ControlsView.as_view(), name="api-controls"),
]
