"""Driver errors of SQL databases, in the platform's words."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from nextup.domain.errors import (
    BackendUnavailable,
    CorruptData,
    InvalidInput,
    NextupError,
    StorageFull,
)

NEARLY_NOTHING = 1 << 20  # bytes; with less free, an unclear I/O error is a full disk

_FULL_CURE = "Free some space and repeat; what was acknowledged before is safe."
_CORRUPT_CURE = "The file was left as it is; restore a backup with `nextup restore`."
_READ_ONLY_CURE = (
    "Give the user that runs Nextup permission to write the file and the folder it lies in."
)
_BUSY_CURE = "Another process writes for very long; repeat later."
_ASK_SERVER_CURE = "Check that the server runs and that the URL is right; `nextup doctor` shows it."

_CANNOT_STORE = "A value cannot be stored: {said}."
_LOCKED = "{where} is locked."
_CANNOT_OPEN = "{where} cannot be opened: {said}."
_DAMAGED = "{where} is damaged: {said}."


_LOGIN_CURE = "Check the user and the password in the URL."
_SLOW_CURE = "Repeat; or give it longer in connections.answer_seconds."

# By SQLSTATE, or by words where the driver has no code: before a connection stands.
_SERVER_SAYS: Final[tuple[tuple[str, str, str], ...]] = (
    ("password", "{where} refuses the user or the password.", _LOGIN_CURE),
    ("28P01", "{where} refuses the user or the password.", _LOGIN_CURE),
    ("28000", "{where} refuses the user or the password.", _LOGIN_CURE),
    ("3D000", "{where} is not there: the server has no such database.", "Make it: createdb."),
    ("database", "{where} is not there: {said}.", "Check the database's name, or make it."),
    ("resolve", "{where}: no such host.", "Check the host in the URL."),
    ("translate host name", "{where}: no such host.", "Check the host in the URL."),
    ("refused", "Nobody listens at {where}.", "Start the server, or check host and port."),
    ("timeout", "{where} did not answer in time.", _SLOW_CURE),
    ("Timeout", "{where} did not answer in time.", _SLOW_CURE),
    ("57014", "{where} took too long for one statement.", _SLOW_CURE),
    ("42501", "{where} forbids it: {said}.", "GRANT the user the right, or use another user."),
    ("53300", "{where} has no connection left.", "Lower connections.pool, or raise its limit."),
)

_SQLITE: Final[dict[int, tuple[type[NextupError], str, str]]] = {
    sqlite3.SQLITE_FULL: (StorageFull, "No space is left for {where}.", _FULL_CURE),
    sqlite3.SQLITE_CORRUPT: (CorruptData, _DAMAGED, _CORRUPT_CURE),
    sqlite3.SQLITE_NOTADB: (CorruptData, _DAMAGED, _CORRUPT_CURE),
    sqlite3.SQLITE_READONLY: (BackendUnavailable, "{where} is read-only.", _READ_ONLY_CURE),
    sqlite3.SQLITE_CANTOPEN: (BackendUnavailable, _CANNOT_OPEN, _READ_ONLY_CURE),
    sqlite3.SQLITE_PERM: (BackendUnavailable, _CANNOT_OPEN, _READ_ONLY_CURE),
    sqlite3.SQLITE_BUSY: (BackendUnavailable, _LOCKED, _BUSY_CURE),
    sqlite3.SQLITE_LOCKED: (BackendUnavailable, _LOCKED, _BUSY_CURE),
    sqlite3.SQLITE_TOOBIG: (InvalidInput, _CANNOT_STORE, ""),
    sqlite3.SQLITE_MISMATCH: (InvalidInput, _CANNOT_STORE, ""),
    sqlite3.SQLITE_CONSTRAINT: (InvalidInput, _CANNOT_STORE, ""),
}


def shown(url: URL) -> str:
    """The URL for people: without user, password and options, any of which may be secret."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    name = url.get_backend_name()
    return URL.create(name, host=url.host, port=url.port, database=url.database).render_as_string()


def translate(error: Exception, url: URL) -> NextupError | None:
    """The platform's error for a driver's one; None for an error that no driver raised."""
    if isinstance(error, PoolTimeout):
        return BackendUnavailable(
            f"All connections to {shown(url)} are in use.", cure="Repeat in a moment."
        )
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidInput(_CANNOT_STORE.format(said=_first_line(error, url)))
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, url)
    of_driver = isinstance(error, DBAPIError) or hasattr(error, "sqlstate")
    return _from_server(cause, url) if of_driver else None


def _from_sqlite(cause: sqlite3.Error, url: URL) -> NextupError:
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the detail
    if "binding parameter" in str(cause):  # a type that SQLite has no column for; without a code
        code = sqlite3.SQLITE_MISMATCH
    said = _first_line(cause, url)
    if said.startswith("Could not decode to UTF-8"):  # without a code; the text itself follows
        code, said = sqlite3.SQLITE_CORRUPT, "a text is not UTF-8"
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and _disk_is_full(url):
        code = sqlite3.SQLITE_FULL
    kind, what, cure = _SQLITE.get(code, (BackendUnavailable, "{where} failed: {said}.", ""))
    return kind(what.format(where=shown(url), said=said), cure=cure)


def _from_server(cause: BaseException | None, url: URL) -> NextupError:
    """By SQLSTATE, the error codes that PostgreSQL's drivers hand on."""
    state = str(getattr(cause, "sqlstate", None) or "")
    where, said = shown(url), _first_line(cause, url)
    if state == "53100":
        return StorageFull(f"No space is left for {where}.", cure=_FULL_CURE)
    if state.startswith("XX"):
        return CorruptData(f"{where} reports damage: {said}.", cure="Restore a backup.")
    if state == "25006":
        return BackendUnavailable(
            f"{where} is read-only.", cure="Point the URL at the primary server."
        )
    unknown_type = not state and "cannot adapt" in said  # found by the driver, before sending
    if state.startswith(("22", "23")) or type(cause).__name__ == "DataError" or unknown_type:
        return InvalidInput(_CANNOT_STORE.format(said=said))
    for sign, what, cure in _SERVER_SAYS:
        if sign in (state or said):
            return BackendUnavailable(what.format(where=where, said=said), cure=cure)
    return BackendUnavailable(f"{where} failed: {said}.", cure=_ASK_SERVER_CURE)


def _disk_is_full(url: URL) -> bool:
    if not url.database:
        return False
    try:
        return shutil.disk_usage(Path(url.database).parent).free < NEARLY_NOTHING
    except OSError:
        return False


def _first_line(cause: BaseException | None, url: URL) -> str:
    text = (str(cause).strip().splitlines() or ["no reason given"])[0].rstrip(".")
    for secret in (url.password, url.username):
        if secret:
            text = text.replace(str(secret), "***")
    return text
