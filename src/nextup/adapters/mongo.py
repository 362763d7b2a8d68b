"""One MongoDB database behind a URL: collections with the tenant's prefix, errors in our words.

The client connects with its first use and reconnects by itself.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bson.errors import InvalidDocument
from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from nextup.domain import errors
from nextup.ports.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.collection import Collection

    from nextup.settings_servers import MongoDB

T = TypeVar("T")
Document = dict[str, Any]

FIRST_PAUSE_SECONDS: Final = 0.1  # before a write is repeated; doubles
LONGEST_PAUSE_SECONDS: Final = 2.0
DUPLICATE: Final = 11000  # the server's code for a second document with a unique value
_NO_SPACE: Final = frozenset({14031, 12501})
_NOT_ALLOWED: Final = 13
_LOGIN_FAILED: Final = 18

_ASK_CURE: Final = "Check that the server runs and the URL is right; `nextup doctor` shows it."
_LOGIN_CURE: Final = "Check the user, the password and `authSource` in the URL."
_RIGHT_CURE: Final = "Grant the user the role `readWrite` on this database."
_FULL_CURE: Final = "Free some space and repeat; what was acknowledged before is safe."


class MongoDatabase:
    """Collections of one database. Safe to share between threads."""

    def __init__(self, url: str, options: MongoDB, prefix: str = "") -> None:
        self.prefix = prefix
        self.options = options
        self.url = _shown(url)  # for people: without credentials
        seconds = int(1000 * options.timeout_seconds)
        try:
            self._client: MongoClient[Document] = MongoClient(
                url,
                connect=False,
                appname="nextup",
                serverSelectionTimeoutMS=seconds,
                connectTimeoutMS=seconds,
                socketTimeoutMS=int(1000 * options.scan_seconds),
                w="majority",
                journal=True,
            )
            self._database = self._client.get_default_database()
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise _unreadable() from error

    def collection(self, name: str) -> Collection[Document]:
        """The collection of that name with the tenant's prefix."""
        return self._database[f"{self.prefix}{name}"]

    def drop(self, collection: Collection[Document]) -> None:
        """Remove a collection; removing an absent one does nothing."""
        self._database.drop_collection(collection)

    def repeat(self, write: Callable[[], T]) -> T:
        """Run a write that may be repeated; while the server is away, for `retry_seconds`."""
        deadline = time.monotonic() + self.options.retry_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                with self.at_the_wall():
                    return write()
            except errors.BackendUnavailable as error:
                passing = isinstance(error.__cause__, AutoReconnect)
                if not passing or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    @contextmanager
    def at_the_wall(self) -> Iterator[None]:
        """The driver's errors leave as the platform's."""
        try:
            yield
        except Exception as error:
            translated = translate(error, self.url)
            if translated is None:
                raise
            raise translated from error

    def trial(self) -> Trial:
        """Write, read and delete a document in a collection of its own."""
        name = f"trial_{uuid.uuid4().hex}"
        with self.at_the_wall():
            own = self.collection(name)
            own.insert_one({"_id": name})
            try:
                if own.find_one({"_id": name}) is None:
                    raise errors.CorruptData(f"{self.url} does not give back what it was given.")
            finally:
                own.drop()
            clock = self._database.command("isMaster").get("localTime")  # all versions know it
            product = f"MongoDB {self._client.server_info()['version']}"
        return Trial(product, None if clock is None else clock.replace(tzinfo=UTC))

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._client.close()


def translate(error: Exception, url: str) -> errors.NextupError | None:
    """The platform's error for a driver's one; None for an error that no driver raised."""
    if isinstance(error, UnicodeEncodeError | OverflowError | InvalidDocument | DocumentTooLarge):
        return errors.InvalidInput(f"A value cannot be stored: {_said(error)}.")
    if isinstance(error, InvalidOperation):
        return errors.BackendUnavailable(f"{url} was closed.", cure="Open the platform again.")
    if isinstance(error, ServerSelectionTimeoutError | AutoReconnect):
        slow = isinstance(error, NetworkTimeout)
        what = "did not answer in time" if slow else "cannot be reached"
        return errors.BackendUnavailable(f"{url} {what}.", cure=_ASK_CURE)
    if isinstance(error, OperationFailure):
        return _refused(error, url)
    if isinstance(error, PyMongoError):
        return errors.BackendUnavailable(f"{url} failed: {_said(error)}.", cure=_ASK_CURE)
    return None


def _refused(error: OperationFailure, url: str) -> errors.NextupError:
    code = error.code
    if isinstance(error, BulkWriteError):
        code = next((each["code"] for each in error.details.get("writeErrors", [])), code)
    if code in _NO_SPACE:
        return errors.StorageFull(f"No space is left for {url}.", cure=_FULL_CURE)
    if code == _LOGIN_FAILED:
        return errors.BackendUnavailable(
            f"{url} refused the user or the password.", cure=_LOGIN_CURE
        )
    if code == _NOT_ALLOWED:
        return errors.BackendUnavailable(f"{url} does not allow that.", cure=_RIGHT_CURE)
    if isinstance(error, ExecutionTimeout):
        return errors.BackendUnavailable(f"{url} did not answer in time.", cure=_ASK_CURE)
    return errors.BackendUnavailable(f"{url} failed: {_said(error)}.", cure=_ASK_CURE)


def _shown(url: str) -> str:
    try:
        parts = parse_uri(url, connect_timeout=0) if url.startswith("mongodb:") else None
    except (PyMongoError, ValueError) as error:
        raise _unreadable() from error
    if parts is None:  # `mongodb+srv`, which a look-up resolves
        return f"mongodb+srv://{url.rpartition('@')[2].partition('?')[0].removeprefix('mongodb+srv://')}"
    hosts = ",".join(f"{host}:{port}" for host, port in parts["nodelist"])
    return f"mongodb://{hosts}/{parts['database'] or ''}"


def _unreadable() -> errors.ConfigurationError:
    return errors.ConfigurationError(
        "A MongoDB URL cannot be read.",  # not shown: it may hold a password
        cure="Write mongodb://user:password@host:27017/database.",
    )


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(", full error:")[0].rstrip(".")
