"""Sign-in pages: allauth's, minus what this desk does not offer."""

from allauth.urls import urlpatterns as allauth_urlpatterns
from django.conf import settings
from django.urls import path
from django.views.generic import RedirectView

from accounts.views.profile import password_reset_unavailable

urlpatterns = [
    # Addresses are given by an admin: whoever could claim another's could be signed in as them by OIDC.
    path("email/", RedirectView.as_view(pattern_name="profile"), name="account_email"),
]
if not settings.EMAIL_CONFIGURED:
    urlpatterns += [path("password/reset/", password_reset_unavailable, name="account_reset_password")]
urlpatterns += allauth_urlpatterns
