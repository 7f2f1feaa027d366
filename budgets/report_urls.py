"""Addresses of who pays for what: showback, attribution rules, exports."""

from django.urls import path

from budgets.api.focus import FocusView
from budgets.api.reports import ReportsView
from budgets.views import attribution, attribution_rules, backlog, focus, report_people, reports

urlpatterns = [
    path("attribution/", attribution.attribution, name="attribution"),
    path("attribution/untagged/", attribution.attribution_untagged, name="attribution-untagged"),
    path("attribution/csv/", attribution.attribution_csv, name="attribution-csv"),
    path("attribution/shared/", attribution.shared_set, name="shared-set"),
    path("attribution/shared/<int:pk>/remove/", attribution.shared_remove, name="shared-remove"),
    path("attribution/rules/", attribution_rules.attribution_rules, name="attribution-rules"),
    path("attribution/rules/preview/", attribution_rules.attribution_preview, name="attribution-preview"),
    path("attribution/rules/<int:pk>/end/", attribution_rules.attribution_end, name="attribution-end"),
    path("attribution/rules/<int:pk>/revive/", attribution_rules.attribution_revive, name="attribution-revive"),
    path("reports/focus.csv", focus.focus_csv, name="focus-csv"),
    path("api/v1/focus", FocusView.as_view(), name="api-focus"),
    path("reports/", reports.report_list, name="report-list"),
    path("reports/make/", reports.report_make, name="report-make"),
    path("reports/<int:pk>/", reports.report_detail, name="report-detail"),
    path("reports/<int:pk>/csv/", reports.report_csv, name="report-csv"),
    path("reports/recipients/", report_people.recipient_add, name="recipient-add"),
    path("reports/recipients/<int:pk>/remove/", report_people.recipient_remove, name="recipient-remove"),
    path("reports/commitments/", report_people.commitment_add, name="commitment-add"),
    path("reports/commitments/<int:pk>/done/", report_people.commitment_done, name="commitment-done"),
    path("backlog/", backlog.backlog_list, name="backlog-list"),
    path("backlog/add/", backlog.backlog_add, name="backlog-add"),
    path("backlog/csv/", backlog.backlog_csv, name="backlog-csv"),
    path("backlog/accept/", backlog.backlog_accept, name="backlog-accept"),
    path("backlog/<int:pk>/", backlog.backlog_edit, name="backlog-edit"),
    path("backlog/<int:pk>/remove/", backlog.backlog_remove, name="backlog-remove"),
    path("api/v1/reports", ReportsView.as_view(), name="api-reports"),
]
