"""Addresses of the guard, below /api/v1/guard/. By themselves, because they are looked up for every guarded call."""

from django.urls import path

from budgets.api import guard

urlpatterns = [
    path("reserve", guard.ReserveView.as_view(), name="api-guard-reserve"),
    path("check", guard.CheckView.as_view(), name="api-guard-check"),
    path("settle", guard.SettleView.as_view(), name="api-guard-settle"),
    path("release", guard.ReleaseView.as_view(), name="api-guard-release"),
    path("extend", guard.ExtendView.as_view(), name="api-guard-extend"),
    path("batch", guard.BatchView.as_view(), name="api-guard-batch"),
]
