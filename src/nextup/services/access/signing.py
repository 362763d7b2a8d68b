"""The signatures of tokens, and the keys that make them: Ed25519, by libraries that are loaded for
nothing else."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from nextup.domain.clients import SigningKey
from nextup.domain.errors import CorruptData
from nextup.services.access.credentials import refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nextup.settings import Access

ALGORITHM = "EdDSA"  # the only one; a token's own word for it is never believed
REQUIRED = ["aud", "exp", "iat", "iss", "sub"]

PublicKeys = dict[str, Ed25519PublicKey]
"""By their `kid`."""


class Signatures:
    """What one deployment signs and reads. Safe to share between threads."""

    def __init__(self, settings: Access) -> None:
        self._settings = settings

    def new_key(self, now: datetime) -> SigningKey:
        """One that nobody has seen."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return SigningKey(secrets.token_hex(8), pem.decode(), now)

    def public_keys(self, keys: Iterable[SigningKey]) -> PublicKeys:
        """What tokens signed by these are read with. Raises CorruptData for a damaged one."""
        return {one.kid: _private(one).public_key() for one in keys}

    def sign(self, claims: dict[str, Any], key: SigningKey) -> str:
        """The claims as a token. Raises CorruptData for a damaged key."""
        return jwt.encode(claims, _private(key), ALGORITHM, headers={"kid": key.kid})

    def signer(self, token: str) -> str | None:
        """The `kid` of the key that the token says has signed it; None for a token that cannot be
        one of ours. Raises Unauthenticated for what is no token."""
        try:
            head = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise refused("cannot be read") from error
        return str(head.get("kid", "")) if head.get("alg") == ALGORITHM else None

    def read(self, token: str, key: Ed25519PublicKey) -> dict[str, Any]:
        """What the token says; its time is the caller's question. Raises Unauthenticated where
        the key did not sign it, and for one that is not for this deployment."""
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={
                    "require": REQUIRED,
                    "strict_aud": True,
                    "verify_exp": False,  # asked of the clock that issued it
                    "verify_iat": False,  # machines' clocks differ
                },
            )
        except jwt.InvalidAudienceError as error:
            raise refused("is for somebody else") from error
        except jwt.PyJWTError as error:
            raise refused("is not good") from error


def _private(key: SigningKey) -> Ed25519PrivateKey:
    try:
        private = load_pem_private_key(key.private.encode(), password=None)
    except ValueError as error:
        raise CorruptData(
            f"The signing key '{key.kid}' is damaged.", cure="`nextup client rotate` makes another."
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise CorruptData(f"The signing key '{key.kid}' is of another kind.")
    return private
