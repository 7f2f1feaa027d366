"""Addresses of incidents: the list, the page of one and its parts, what is done to it."""

from django.urls import path

from incidents.api.incidents import EntriesView, IncidentsView, IncidentView
from incidents.public import views as public
from incidents.views import incident, incident_acts, incidents, messages, responsibilities, status_page

urlpatterns = [
    path("incidents/", incidents.incident_list, name="incident-list"),
    path("incidents/declare/", incidents.incident_declare, name="incident-declare"),
    path("incidents/declare/suggestion/", incidents.incident_suggestion, name="incident-suggestion"),
    path("incidents/status-page/", status_page.component_list, name="component-list"),
    path("incidents/status-page/add/", status_page.component_edit, name="component-add"),
    path("incidents/status-page/<int:pk>/", status_page.component_edit, name="component-edit"),
    path("incidents/status-page/<int:pk>/remove/", status_page.component_remove, name="component-remove"),
    path("incidents/owners/", responsibilities.owner_list, name="owner-list"),
    path("incidents/owners/<int:pk>/remove/", responsibilities.owner_remove, name="owner-remove"),
    path("incidents/<int:pk>/", incident.incident_detail, name="incident-detail"),
    path("incidents/<int:pk>/edit/", incident_acts.incident_edit, name="incident-edit"),
    path("incidents/<int:pk>/acknowledge/", incident_acts.incident_acknowledge, name="incident-acknowledge"),
    path("incidents/<int:pk>/state/", incident_acts.incident_move, name="incident-move"),
    path("incidents/<int:pk>/role/", incident_acts.incident_role, name="incident-role"),
    path("incidents/<int:pk>/note/", incident_acts.incident_note, name="incident-note"),
    path("incidents/<int:pk>/pin/", incident_acts.incident_pin, name="incident-pin"),
    path("incidents/<int:pk>/link/", incident_acts.incident_link, name="incident-link"),
    *(
        path(f"incidents/<int:pk>/{name}/", incident.incident_part, {"name": name}, name=f"incident-{name}")
        for name in incident.PARTS
    ),
    path("incidents/<int:pk>/timeline.<str:form>", incident.incident_export, name="incident-export"),
    path("incidents/<int:pk>/timeline/<int:entry>/strike/", incident_acts.incident_strike, name="incident-strike"),
    path("incidents/<int:pk>/timeline/<int:entry>/image/", incident.incident_image, name="incident-image"),
    path("incidents/<int:pk>/timeline/<int:entry>/chart/", incident.incident_evidence, name="incident-evidence"),
    path("incidents/<int:pk>/messages/", messages.incident_messages, name="incident-messages"),
    path("incidents/<int:pk>/messages/add/", messages.message_add, name="incident-message-add"),
    path("incidents/<int:pk>/messages/<int:message>/", messages.incident_message, name="incident-message"),
    path("api/v1/incidents", IncidentsView.as_view(), name="api-incidents"),
    path("api/v1/incidents/<int:pk>", IncidentView.as_view(), name="api-incident"),
    path("api/v1/incidents/<int:pk>/entries", EntriesView.as_view(), name="api-incident-entries"),
    # Public: ApiMiddleware takes them past sessions, so that they answer without a database
    path("status/", public.status_page, name="status-page"),
    path("status/status.json", public.status_json, name="status-json"),
    path("status/rss.xml", public.StatusFeed(), name="status-rss"),
]
