"""How django-allauth behaves here: who may make an account."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by an admin unless SIGNUP_OPEN says otherwise."""

    def is_open_for_signup(self, request) -> bool:
        return settings.SIGNUP_OPEN


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Whoever the company's identity provider vouches for may have an account; roles are granted here.

    Without a verified address allauth would ask for one, and people could name someone else's.
    """

    def is_open_for_signup(self, request, sociallogin) -> bool:
        return any(address.verified for address in sociallogin.email_addresses)
