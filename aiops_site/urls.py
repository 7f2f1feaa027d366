"""Every address of the desk. Each room lists its own; this file only gives them a place."""

from django.urls import include, path

from aiops_site import docs, health
from aiops_site.executive import views as executive
from aiops_site.incident import views as incident
from aiops_site.operations import views as operations
from aiops_site.product import views as product

urlpatterns = [
    path("api/v1/guard/", include("budgets.guard_urls")),  # first: looked up before every guarded call
    path("", incident.incident, name="incident"),
    path("incident/<slug:name>/", incident.incident_part, name="incident-part"),
    path("product/", product.product, name="product"),
    path("product/<slug:name>/", product.product_part, name="product-part"),
    path("executive/", executive.executive, name="executive"),
    path("operations/", operations.operations, name="operations"),
    path("operations/decide/", operations.operations_decide, name="operations-decide"),
    path("docs/", docs.guide_list, name="docs"),
    path("docs/api/", docs.try_it, name="api-docs"),
    path("docs/api/schema/", docs.schema, name="schema"),
    path("docs/guides/<slug:name>/", docs.guide, name="guide"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/", include("accounts.signin_urls")),
    path("settings/", include("accounts.urls")),
    path("", include("usage.urls")),
    path("", include("incidents.urls")),
    path("", include("budgets.urls")),
]

# 403 says who can grant the missing right; 500 becomes 503 when the database is away.
handler403 = "accounts.views.errors.permission_denied"
handler500 = "accounts.views.errors.server_error"
