"""Addresses of the budgets room."""

from django.urls import include, path

from budgets.api.anomalies import AnomaliesView
from budgets.api.budgets import BudgetsView
from budgets.api.forecast import ForecastView
from budgets.views import anomalies, budget_limit, budgets, changes, forecasts, guard, history, planned, tables

urlpatterns = [
    # Pages
    path("budgets/", budgets.budget_list, name="budget-list"),
    path("budgets/add/", budgets.budget_add, name="budget-add"),
    path("budgets/preview/", budgets.budget_preview, name="budget-preview"),
    path("budgets/csv/", tables.budget_csv, name="budget-csv"),
    path("budgets/import/", tables.budget_import, name="budget-import"),
    path("budgets/bulk/", tables.budget_bulk, name="budget-bulk"),
    path("budgets/approvals/", changes.budget_approvals, name="budget-approvals"),
    path("budgets/approvals/<int:pk>/decide/", changes.change_decide, name="budget-change-decide"),
    path("budgets/approvals/<int:pk>/withdraw/", changes.change_withdraw, name="budget-change-withdraw"),
    path("budgets/forecast/", forecasts.forecast_list, name="forecast-list"),
    path("budgets/forecast/all-teams/", forecasts.organisation_forecast, name="organisation-forecast"),
    path("budgets/forecast/teams/<slug:slug>/", forecasts.team_forecast, name="team-forecast"),
    path("budgets/<int:pk>/forecast/", forecasts.budget_forecast, name="budget-forecast"),
    path("budgets/events/", planned.event_list, name="planned-event-list"),
    path("budgets/events/add/", planned.event_add, name="planned-event-add"),
    path("budgets/events/<int:pk>/edit/", planned.event_edit, name="planned-event-edit"),
    path("budgets/events/<int:pk>/remove/", planned.event_remove, name="planned-event-remove"),
    path("budgets/<int:pk>/", budgets.budget_detail, name="budget-detail"),
    path("budgets/<int:pk>/edit/", budgets.budget_edit, name="budget-edit"),
    path("budgets/<int:pk>/limit/", budget_limit.budget_limit, name="budget-limit"),
    path("budgets/<int:pk>/history/", history.budget_history, name="budget-history"),
    path("budgets/<int:pk>/undo/", changes.budget_undo, name="budget-undo"),
    path("budgets/<int:pk>/end/", changes.budget_end, name="budget-end"),
    path("budgets/<int:pk>/grants/", changes.grant_add, name="budget-grant-add"),
    path("budgets/<int:pk>/grants/<int:grant_id>/revoke/", changes.grant_revoke, name="budget-grant-revoke"),
    path("spend/anomalies/", anomalies.anomaly_list, name="anomaly-list"),
    path("spend/anomalies/<int:pk>/", anomalies.anomaly_detail, name="anomaly-detail"),
    path("spend/anomalies/<int:pk>/decide/", anomalies.anomaly_decide, name="anomaly-decide"),
    path("spend/anomalies/<int:pk>/reopen/", anomalies.anomaly_reopen, name="anomaly-reopen"),
    # API
    path("api/v1/anomalies", AnomaliesView.as_view(), name="api-anomalies"),
    path("api/v1/budgets", BudgetsView.as_view(), name="api-budgets"),
    path("api/v1/forecast", ForecastView.as_view(), name="api-forecast"),
    path("guard/", guard.guard_list, name="guard-list"),
    path("guard/limits/", guard.limit_list, name="rate-limit-list"),
    path("guard/limits/add/", guard.limit_add, name="rate-limit-add"),
    path("guard/limits/<int:pk>/end/", guard.limit_end, name="rate-limit-end"),
    path("", include("budgets.report_urls")),
]
