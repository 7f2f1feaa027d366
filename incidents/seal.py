"""Secrets that must be read again are sealed: Fernet (AES-128-CBC with HMAC-SHA256), its key made from SECRET_KEY.

The key is HKDF-SHA256 of SECRET_KEY with a purpose of its own (RFC 5869), so what signs sessions opens nothing here.
Keys of SECRET_KEY_FALLBACKS still open what they sealed.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"ai ops desk: channel secrets, 1"


class SealBroken(ValueError):
    """The text was sealed under another SECRET_KEY."""


def seal(text: str) -> str:
    """The text, readable only with this desk's SECRET_KEY. Twice the same text gives two different seals."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed. Raises SealBroken where no key of this desk opens it."""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken("It was stored under another SECRET_KEY: enter it again.") from None


def _fernet() -> MultiFernet:
    return MultiFernet([_key(one) for one in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
