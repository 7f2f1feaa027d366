"""Every address of the desk. Each room lists its own; this file only gives them a place."""

from django.urls import include, path

from aiops_site import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/", include("accounts.signin_urls")),
    path("settings/", include("accounts.urls")),
    path("", include("usage.urls")),
]

# Says who can grant the missing right.
handler403 = "accounts.views.errors.permission_denied"
