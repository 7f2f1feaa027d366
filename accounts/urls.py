from django.urls import path
from django.views.generic import RedirectView

from accounts.views import audit, keys, members, profile, teams

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="profile"), name="settings"),
    path("profile/", profile.profile, name="profile"),
    path("organisation/", teams.organisation, name="organisation"),
    path("organisation/members/add/", members.member_add, name="organisation_member_add"),
    path("members/<int:pk>/role/", members.member_role, name="member_role"),
    path("members/<int:pk>/remove/", members.member_remove, name="member_remove"),
    path("teams/", teams.team_list, name="teams"),
    path("teams/new/", teams.team_create, name="team_create"),
    path("teams/<slug:slug>/", teams.team_detail, name="team"),
    path("teams/<slug:slug>/edit/", teams.team_edit, name="team_edit"),
    path("teams/<slug:slug>/members/add/", members.member_add, name="member_add"),
    path("teams/<slug:slug>/keys/new/", keys.key_create, name="key_create"),
    path("teams/<slug:slug>/keys/<slug:prefix>/revoke/", keys.key_revoke, name="key_revoke"),
    path("audit/", audit.audit_log, name="audit"),
]
