"""Addresses of alerts, their rules and silences."""

from django.urls import path

from incidents.api.alerts import AlertsView
from incidents.api.rules import AlertRulesView, AlertRuleView, BacktestView, RuleBacktestView
from incidents.views import alerts, rules, silences

urlpatterns = [
    path("alerts/", alerts.alert_list, name="alert-list"),
    path("alerts/<int:pk>/", alerts.alert_detail, name="alert-detail"),
    path("alerts/<int:pk>/acknowledge/", alerts.alert_acknowledge, name="alert-acknowledge"),
    path("alerts/rules/", rules.rule_list, name="rule-list"),
    path("alerts/rules/add/", rules.rule_add, name="rule-add"),
    path("alerts/rules/preview/", rules.rule_preview, name="rule-preview"),
    path("alerts/rules/fields/", rules.rule_fields, name="rule-fields"),
    path("alerts/rules/<int:pk>/", rules.rule_edit, name="rule-edit"),
    path("alerts/rules/<int:pk>/switch/", rules.rule_switch, name="rule-switch"),
    path("alerts/rules/<int:pk>/remove/", rules.rule_remove, name="rule-remove"),
    path("alerts/rules/<int:pk>/undo/", rules.rule_undo, name="rule-undo"),
    path("alerts/rules/<int:pk>/copy/", rules.rule_copy, name="rule-copy"),
    path("alerts/silences/", silences.silence_list, name="silence-list"),
    path("alerts/silences/add/", silences.silence_add, name="silence-add"),
    path("alerts/silences/preview/", silences.silence_preview, name="silence-preview"),
    path("alerts/silences/<int:pk>/end/", silences.silence_end, name="silence-end"),
    path("api/v1/alerts", AlertsView.as_view(), name="api-alerts"),
    path("api/v1/alert-rules", AlertRulesView.as_view(), name="api-alert-rules"),
    path("api/v1/alert-rules/backtest", BacktestView.as_view(), name="api-alert-rules-backtest"),
    path("api/v1/alert-rules/<slug:slug>", AlertRuleView.as_view(), name="api-alert-rule"),
    path("api/v1/alert-rules/<slug:slug>/backtest", RuleBacktestView.as_view(), name="api-alert-rule-backtest"),
]
