"""Redis' errors, in the platform's words."""

from __future__ import annotations

from typing import Final, NamedTuple

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as TooSlow

from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    CorruptData,
    NextupError,
    StorageFull,
)

_LOGIN_CURE = "Check the user and the password in the URL."
_HOST_CURE = "Check the host in the URL."
_ASK_CURE = "Check that the server runs and that the URL is right; `nextup doctor` shows it."
_FULL_CURE = "Raise maxmemory, or free some; Nextup's data must not be evicted (noeviction)."
_SLOW_CURE = "Repeat; or give it longer in connections.answer_seconds."
_REFUSED = "{where} refuses the user or the password."
_NO_HOST = "{where}: no such host."


class _Rule(NamedTuple):
    error: type[RedisError]
    sign: str  # in what the driver says
    kind: type[NextupError]
    what: str
    cure: str


_RULES: Final = (  # the first that fits
    _Rule(
        NoPermissionError,
        "",
        BackendUnavailable,
        "{where} forbids it: {said}.",
        "Give the user the right: ACL SETUSER.",
    ),
    _Rule(AuthenticationError, "", BackendUnavailable, _REFUSED, _LOGIN_CURE),
    _Rule(ResponseError, "WRONGPASS", BackendUnavailable, _REFUSED, _LOGIN_CURE),
    _Rule(ResponseError, "invalid password", BackendUnavailable, _REFUSED, _LOGIN_CURE),
    _Rule(ResponseError, "NOAUTH", BackendUnavailable, "{where} wants a password.", _LOGIN_CURE),
    _Rule(TooSlow, "", BackendUnavailable, "{where} did not answer in time.", _SLOW_CURE),
    _Rule(LostConnection, "Name or service", BackendUnavailable, _NO_HOST, _HOST_CURE),
    _Rule(LostConnection, "name resolution", BackendUnavailable, _NO_HOST, _HOST_CURE),
    _Rule(LostConnection, "No address", BackendUnavailable, _NO_HOST, _HOST_CURE),
    _Rule(
        LostConnection,
        "refused",
        BackendUnavailable,
        "Nobody listens at {where}.",
        "Start the server, or check host and port.",
    ),
    _Rule(
        LostConnection,
        "CERTIFICATE",
        BackendUnavailable,
        "{where} shows a certificate that is not trusted.",
        "Name who signed it in connections.ca_file.",
    ),
    _Rule(
        LostConnection,
        "No connection available",
        BackendUnavailable,
        "All connections to {where} are in use.",
        "Repeat in a moment, or raise connections.pool.",
    ),
    _Rule(
        LostConnection,
        "loading",
        BackendUnavailable,
        "{where} is still loading its data.",
        "Repeat in a moment.",
    ),
    _Rule(
        ReadOnlyError,
        "",
        BackendUnavailable,
        "{where} is a replica and cannot be written.",
        "Name the primary in the URL.",
    ),
    _Rule(ResponseError, "OOM", StorageFull, "{where} has no memory left.", _FULL_CURE),
    _Rule(
        ResponseError,
        "used memory",
        StorageFull,
        "{where} has no memory left.",
        _FULL_CURE,
    ),
    _Rule(
        ResponseError,
        "MISCONF",
        StorageFull,
        "{where} cannot write to its disk.",
        "Free some space there.",
    ),
    _Rule(
        ResponseError,
        "WRONGTYPE",
        CorruptData,
        "{where} holds something else under a name of ours.",
        "Use another database number, or another tenant.",
    ),
    _Rule(
        ResponseError,
        "DB index",
        ConfigurationError,
        "{where}: there is no such database.",
        "Databases have numbers, mostly from 0 to 15.",
    ),
    _Rule(RedisError, "", BackendUnavailable, "{where} failed: {said}.", _ASK_CURE),
)


def translate(error: RedisError, where: str) -> NextupError:
    """The platform's error for the driver's; `where` is the URL for people."""
    said = _first_line(error)
    for rule in _RULES:
        if isinstance(error, rule.error) and rule.sign in said:
            return rule.kind(rule.what.format(where=where, said=said), cure=rule.cure)
    raise AssertionError  # the last rule fits everything


def _first_line(error: RedisError) -> str:
    """What the driver says; it quotes host and port, never the password."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
