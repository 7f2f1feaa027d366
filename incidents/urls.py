"""Addresses of the incidents room."""

from django.urls import include, path

from incidents.api.alertmanager import AlertmanagerView
from incidents.api.controls import ControlsView
from incidents.views import channels, controls, drills, oncall

urlpatterns = [
    # Pages
    path("", include("incidents.alert_urls")),
    path("alerts/channels/", channels.channel_list, name="channel-list"),
    path("alerts/channels/add/", channels.channel_add, name="channel-add"),
    path("alerts/channels/<int:pk>/", channels.channel_edit, name="channel-edit"),
    path("alerts/channels/<int:pk>/test/", channels.channel_test, name="channel-test"),
    path("alerts/channels/<int:pk>/switch/", channels.channel_switch, name="channel-switch"),
    path("alerts/channels/<int:pk>/secret/", channels.channel_secret, name="channel-secret"),
    path("alerts/channels/<int:pk>/remove/", channels.channel_remove, name="channel-remove"),
    path("alerts/routes/add/", channels.route_add, name="route-add"),
    path("alerts/routes/<int:pk>/remove/", channels.route_remove, name="route-remove"),
    path("alerts/deliveries/", channels.delivery_list, name="delivery-list"),
    path("alerts/deliveries/<int:pk>/resend/", channels.delivery_resend, name="delivery-resend"),
    path("oncall/", oncall.oncall, name="oncall"),
    path("oncall/rotas/add/", oncall.rota_edit, name="rota-add"),
    path("oncall/rotas/<int:pk>/", oncall.rota_detail, name="rota-detail"),
    path("oncall/rotas/<int:pk>/edit/", oncall.rota_edit, name="rota-edit"),
    path("oncall/rotas/<int:pk>/note/", oncall.rota_note, name="rota-note"),
    path("oncall/rotas/<int:pk>/remove/", oncall.rota_remove, name="rota-remove"),
    path("oncall/rotas/<int:pk>/calendar/", oncall.rota_calendar, name="rota-calendar"),
    path("oncall/rotas/<int:pk>/overrides/add/", oncall.override_add, name="override-add"),
    path("oncall/overrides/<int:pk>/remove/", oncall.override_remove, name="override-remove"),
    path("oncall/calendar/<slug:token>.ics", oncall.rota_feed, name="rota-feed"),
    path("oncall/escalation/<slug:slug>/", oncall.escalation_edit, name="escalation-edit"),
    path("oncall/escalation/<int:pk>/remove/", oncall.escalation_remove, name="escalation-remove"),
    path("oncall/pages/<int:pk>/acknowledge/", oncall.escalation_acknowledge, name="escalation-acknowledge"),
    path("controls/", controls.control_list, name="control-list"),
    path("controls/set/", controls.control_set, name="control-set"),
    path("controls/<int:pk>/extend/", controls.control_extend, name="control-extend"),
    path("controls/<int:pk>/end/", controls.control_end, name="control-end"),
    path("controls/policies/", controls.policy_list, name="policy-list"),
    path("controls/policies/add/", controls.policy_edit, name="policy-add"),
    path("controls/policies/<int:pk>/", controls.policy_edit, name="policy-edit"),
    path("controls/policies/<int:pk>/remove/", controls.policy_remove, name="policy-remove"),
    path("", include("incidents.triage_urls")),
    path("", include("incidents.response_urls")),
    path("", include("incidents.runbook_urls")),
    path("drills/", drills.drill_list, name="drill-list"),
    path("drills/start/", drills.drill_start, name="drill-start"),
    path("drills/<int:pk>/", drills.drill_detail, name="drill-detail"),
    path("drills/<int:pk>/end/", drills.drill_end, name="drill-end"),
    path("drills/<int:pk>/say/", drills.drill_say, name="drill-say"),
    path("drills/<int:pk>/notes/", drills.drill_notes, name="drill-notes"),
    path("", include("incidents.slo_urls")),
    path("", include("incidents.postmortem_urls")),
    # API
    path("api/v1/alertmanager", AlertmanagerView.as_view(), name="api-alertmanager"),
    path("api/v1/controls", ControlsView.as_view(), name="api-controls"),
]
