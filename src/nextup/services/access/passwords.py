"""Passwords: kept as Argon2id, compared in a time that tells nothing."""

from __future__ import annotations

from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from nextup.domain.errors import InvalidInput

SHORTEST, LONGEST = 12, 256  # characters; a longer one would only cost us time
FEWEST_DIFFERENT = 6  # characters
# What people write when they are asked for a password, and what images and tutorials come with.
WELL_KNOWN = (
    "admin",
    "changeme",
    "default",
    "guest",
    "letmein",
    "minioadmin",
    "nextup",
    "password",
    "postgres",
    "qwerty",
    "root",
    "secret",
    "test",
    "welcome",
)

# OWASP's choice for servers: 19 MiB and two passes, about 20 ms of a core.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Of no password. Verified where a client is unknown, so that the answer takes as long.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$28BYy3GzssiIm3I43QzRTQ"
    "$fZ2Sj05cdod2QBAg93TyHyIdrMFH3CXJc9pxlcXBSAo"
)


def hash_password(password: str) -> str:
    """Salted: the same password gives another text each time."""
    return _HASHER.hash(password)


def is_password(password: str, password_hash: str) -> bool:
    """Whether it is the one. Takes as long for an empty hash, which no password fits."""
    if len(password) > LONGEST:
        return False
    try:
        return _HASHER.verify(password_hash or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False


def weakness(password: str, name: str) -> str:
    """Why the password is too easy to guess for the client or user of this name; empty if not."""
    lowered = password.casefold()
    if len(password) < SHORTEST:
        return f"it has fewer than {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"it has more than {LONGEST} characters"
    if len(set(lowered)) < FEWEST_DIFFERENT:
        return f"it has fewer than {FEWEST_DIFFERENT} different characters"
    rest = lowered
    for word in (name.casefold(), *WELL_KNOWN):
        rest = rest.replace(word, "")
    if len(rest) < SHORTEST // 2:
        return "it is made of words that are tried first"
    if _is_run(lowered):
        return "it is a row of characters"
    return ""


def require_strong(password: str, name: str) -> None:
    """Raises InvalidInput, saying why, for a password that is easily guessed."""
    why = weakness(password, name)
    if why:
        raise InvalidInput(
            f"The password is too weak: {why}.", cure="Choose a long one, or let one be made."
        )


def _is_run(text: str) -> bool:
    """Each character follows the one before, as in 123456789012."""
    steps = {(ord(b) - ord(a)) % 10 for a, b in pairwise(text)}
    return len(steps) == 1
