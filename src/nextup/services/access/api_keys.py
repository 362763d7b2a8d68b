"""API keys: `nxk_`, the part that names the key, and 256 random bits that nobody keeps."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from nextup.domain.clients import ApiKey

if TYPE_CHECKING:
    from datetime import datetime

PREFIX = "nxk_"
SECRET_BYTES = 32
_FORM = re.compile(rb"nxk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def mint(client_id: str, now: datetime, note: str = "") -> tuple[ApiKey, str]:
    """A new key, and the secret, which is in nobody's hands but the caller's."""
    key_id = secrets.token_hex(6)
    secret = f"{PREFIX}{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return ApiKey(key_id, client_id, digest_of(secret.encode()), now, note), secret


def key_id_of(secret: bytes) -> str | None:
    """The part that names the key; None for what never was one of ours."""
    found = _FORM.fullmatch(secret)
    return found[1].decode() if found else None


def opens(secret: bytes, key: ApiKey | None) -> bool:
    """Whether the secret is this key's and the key is good. Takes as long for no key."""
    digest = key.digest if key is not None else digest_of(b"")
    same = hmac.compare_digest(digest, digest_of(secret))
    return same and key is not None and key.revoked_at is None


def digest_of(secret: bytes) -> str:
    """SHA-256 is enough for a secret that is random: there is nothing to guess faster."""
    return hashlib.sha256(secret).hexdigest()
