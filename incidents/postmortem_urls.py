"""Addresses of postmortems and their action items."""

from django.urls import path

from incidents.views import action_items, postmortem_edits, postmortems

urlpatterns = [
    path("incidents/<int:pk>/postmortem/", postmortems.incident_postmortem, name="incident-postmortem"),
    path("postmortems/", postmortems.postmortem_list, name="postmortem-list"),
    path("postmortems/actions/", action_items.action_list, name="action-list"),
    path("postmortems/actions/<int:pk>/", action_items.item_edit, name="action-item"),
    path("postmortems/actions/<int:pk>/move/", action_items.item_move, name="action-item-move"),
    path("postmortems/actions/<int:pk>/monitor/", action_items.item_monitor, name="action-item-monitor"),
    path("postmortems/actions/<int:pk>/rule/", action_items.item_rule, name="action-item-rule"),
    path("postmortems/actions/<int:pk>/step/", action_items.item_step, name="action-item-step"),
    path("postmortems/<int:pk>/", postmortems.postmortem_detail, name="postmortem-detail"),
    path("postmortems/<int:pk>/versions/<int:number>/", postmortems.postmortem_detail, name="postmortem-version"),
    path("postmortems/<int:pk>/markdown/", postmortems.postmortem_markdown, name="postmortem-markdown"),
    path("postmortems/<int:pk>/pdf/", postmortems.postmortem_pdf, name="postmortem-pdf"),
    path("postmortems/<int:pk>/edit/", postmortem_edits.postmortem_edit, name="postmortem-edit"),
    path("postmortems/<int:pk>/facts/", postmortem_edits.postmortem_facts, name="postmortem-facts"),
    path("postmortems/<int:pk>/submit/", postmortem_edits.postmortem_submit, name="postmortem-submit"),
    path("postmortems/<int:pk>/send-back/", postmortem_edits.postmortem_send_back, name="postmortem-send-back"),
    path("postmortems/<int:pk>/publish/", postmortem_edits.postmortem_publish, name="postmortem-publish"),
    path("postmortems/<int:pk>/revise/", postmortem_edits.postmortem_revise, name="postmortem-revise"),
    path("postmortems/<int:pk>/actions/add/", action_items.item_add, name="action-item-add"),
]
