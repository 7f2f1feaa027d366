"""Addresses of the usage room."""

from django.urls import path

from usage.api.changes import ChangesView
from usage.api.events import EventsView
from usage.api.explain import ExplainView
from usage.api.limits import LimitsView
from usage.api.metrics import MetricsView, SpendView
from usage.api.prices import PricesView, PriceView, RepricingsView, RepricingView
from usage.views import changes, events, explain, limits, prices, reconcile, repricing, spend

urlpatterns = [
    # API first: looked up for every event
    path("api/v1/events", EventsView.as_view(), name="api-events"),
    path("api/v1/metrics", MetricsView.as_view(), name="api-metrics"),
    path("api/v1/spend", SpendView.as_view(), name="api-spend"),
    path("api/v1/explain", ExplainView.as_view(), name="api-explain"),
    path("api/v1/changes", ChangesView.as_view(), name="api-changes"),
    path("api/v1/limits", LimitsView.as_view(), name="api-limits"),
    path("api/v1/prices", PricesView.as_view(), name="api-prices"),
    path("api/v1/prices/<int:pk>", PriceView.as_view(), name="api-price"),
    path("api/v1/repricings", RepricingsView.as_view(), name="api-repricings"),
    path("api/v1/repricings/<int:pk>", RepricingView.as_view(), name="api-repricing"),
    # Pages
    path("events/", events.event_list, name="event-list"),
    path("events/<slug:team>/", events.event_detail, name="event"),
    path("traces/<slug:team>/<path:trace_id>", events.trace_detail, name="trace"),
    path("conversations/<slug:team>/<path:conversation_id>", events.conversation_detail, name="conversation"),
    path("changes/", changes.change_list, name="change-list"),
    path("changes/add/", changes.change_add, name="change-add"),
    path("changes/<int:pk>/remove/", changes.change_remove, name="change-remove"),
    path("reconcile/", reconcile.reconcile_page, name="reconcile"),
    path("reconcile/start/", reconcile.reconcile_start, name="reconcile-start"),
    path("reconcile/<int:run_id>/", reconcile.reconcile_page, name="reconcile-run"),
    path("prices/", prices.price_list, name="price-list"),
    path("prices/add/", prices.price_add, name="price-add"),
    path("prices/<int:pk>/", prices.price_edit, name="price-edit"),
    path("prices/unpriced/", prices.price_unpriced, name="price-unpriced"),
    path("prices/differences/", prices.price_differences, name="price-differences"),
    path("prices/limits/", limits.limit_list, name="limit-list"),
    path("prices/limits/add/", limits.limit_add, name="limit-add"),
    path("prices/limits/<int:pk>/", limits.limit_edit, name="limit-edit"),
    path("prices/limits/<int:pk>/remove/", limits.limit_remove, name="limit-remove"),
    path("prices/repricings/", repricing.repricing_list, name="repricing-list"),
    path("prices/repricings/new/", repricing.repricing_new, name="repricing-new"),
    path("prices/repricings/<int:pk>/", repricing.repricing_detail, name="repricing-detail"),
    path("prices/repricings/<int:pk>/cancel/", repricing.repricing_cancel, name="repricing-cancel"),
    path("prices/repricings/<int:pk>/resume/", repricing.repricing_resume, name="repricing-resume"),
    path("spend/", spend.spend, name="spend"),
    path("spend/csv/", spend.spend_csv, name="spend-csv"),
    path("spend/explain/", explain.explain_page, name="spend-explain"),
]
