"""The driver's errors, in the platform's words."""

from __future__ import annotations

from typing import Final

from cassandra import (
    AuthenticationFailed,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    Timeout,
    Unauthorized,
    Unavailable,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage

from nextup.domain.errors import BackendUnavailable, InvalidInput, NextupError

_ASK_CURE: Final = "Check that the cluster runs and the URL is right; `nextup doctor` shows it."
_LOGIN_CURE: Final = "Check the user and the password in the URL."
_RIGHT_CURE: Final = (
    "Grant the user this right, or have the keyspace and tables made by one who may."
)
_PASSING: Final = (NoHostAvailable, OperationTimedOut, Timeout, Unavailable, ConnectionException)


def translate(error: Exception, url: str) -> NextupError | None:
    """The platform's error for a driver's one; None for an error that no driver raised."""
    too_long = isinstance(error, InvalidRequest) and "longer than maximum" in str(error)
    if too_long or isinstance(error, UnicodeEncodeError):
        return InvalidInput(f"{url} cannot store that: {_said(error)}.")
    if isinstance(error, NoHostAvailable):
        return _unreachable(list(error.errors.values()), url)
    if isinstance(error, Unauthorized):
        return BackendUnavailable(f"{url} does not allow that: {_said(error)}.", cure=_RIGHT_CURE)
    if isinstance(error, OperationTimedOut | Timeout):
        return BackendUnavailable(f"{url} did not answer in time.", cure=_ASK_CURE)
    if isinstance(error, DriverException | ErrorMessage | ConnectionException):
        return BackendUnavailable(f"{url} failed: {_said(error)}.", cure=_ASK_CURE)
    return None


def _unreachable(causes: list[BaseException], url: str) -> BackendUnavailable:
    if any(isinstance(cause, AuthenticationFailed) for cause in causes):
        return BackendUnavailable(f"{url} refused the user or the password.", cure=_LOGIN_CURE)
    said = f": {_said(causes[0])}" if causes else ""
    return BackendUnavailable(f"{url} cannot be reached{said}.", cure=_ASK_CURE)


def may_pass(error: Exception) -> bool:
    """Whether the same write may succeed later."""
    return isinstance(error, _PASSING)


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
