"""What can go wrong, in words a caller can act on.

Every error says what happened and, in `cure`, what to do next. Entry points turn them into one
line (CLI) or a problem document (API); nothing below them prints.
"""

from __future__ import annotations

from typing import ClassVar


class NextupError(Exception):
    """The root of all expected errors: a message for people and what to do about it."""

    status: ClassVar[int] = 500  # the HTTP status an API answers with

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".rstrip()


class InvalidInput(NextupError):
    """The caller's data or arguments cannot be used as they are."""

    status = 422


class NotFound(NextupError):
    """What was asked for does not exist."""

    status = 404


class Conflict(NextupError):
    """Somebody else holds or has changed what this call needs."""

    status = 409


class Unauthenticated(NextupError):
    """Nobody knows who sends this: no credentials, or none that are good."""

    status = 401


class Forbidden(NextupError):
    """The caller is known, and may not do this."""

    status = 403


class LimitReached(NextupError):
    """The caller has used up what they may do for now; `retry_after` seconds later they may."""

    status = 429

    def __init__(self, message: str, *, retry_after: float, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.retry_after = retry_after


class ConfigurationError(NextupError):
    """A setting is wrong, missing, or needs an extra that is not installed."""


class BackendUnavailable(NextupError):
    """A backend did not answer, or refused; retrying later may help."""

    status = 503


class StorageFull(BackendUnavailable):
    """No space is left where something must be written."""

    status = 507


class CorruptData(NextupError):
    """Stored data is damaged; it was left untouched."""
