"""What delta-rs, Polars and the disk say, in Nextup's words."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    SchemaMismatchError,
)

from nextup.domain.errors import (
    BackendUnavailable,
    Conflict,
    CorruptData,
    InvalidInput,
    NextupError,
    StorageFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRIVER_ERRORS: Final = (
    DeltaError,
    OSError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ValueError,  # delta-rs refuses some arguments with it
)

# Drivers hand the operating system's errors on as text: "... (os error 28)" or "Os { code: 28".
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_ELSEWHERE: Final = (
    "507 Insufficient Storage",
    "QuotaExceeded",
    "could only be written to 0 of",
)
_FORBIDDEN: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
_ABSENT: Final = (errno.ENOENT,)
_UNWELCOME: Final = ("403 Forbidden", "necessary privileges", "AccessControlException")
_UNREACHED: Final = (
    "Generic S3 error",
    "Generic HdfsObjectStore error",
    "error sending request",
    "communicating with HDFS",
    "failed to lookup address",
    *(f"(os error {code})" for code in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT)),
)
_BROKEN: Final = (
    "out of specification",
    "data corruption",
    "json error",
    "invalid json",
    "parquet error",
    "eof",
    "truncated",
    "corrupt",
    "invalid parquet",
    "magic",
    "assertion failed",
    "kernel error",
)


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise Nextup's errors in the place of the drivers', naming `place`, a table or a folder."""
    try:
        yield
    except NextupError:
        raise
    except _DRIVER_ERRORS as error:
        raise in_our_words(error, place) from error


def in_our_words(error: BaseException, place: str) -> NextupError:
    """The NextupError that says what this driver's error means; one that is one already stays."""
    if isinstance(error, NextupError):
        return error
    return (
        _of_the_disk(error, place) or _of_the_network(error, place) or _of_the_table(error, place)
    )


def _of_the_disk(error: BaseException, place: str) -> NextupError | None:
    text = str(error)
    full_there = any(word in text for word in _FULL_ELSEWHERE)
    if full_there or _is_system_error(error, text, _FULL):
        return StorageFull(
            f"No space is left to write {place}; nothing was changed.",
            cure="Free some space, or `nextup lake maintain --keep-days 1`, and run it again.",
        )
    if _is_system_error(error, text, _FORBIDDEN):
        return BackendUnavailable(
            f"{place} cannot be used: the folder is read-only or not ours.",
            cure="Give this user the right to write there, or set NEXTUP_LAKE_URL elsewhere.",
        )
    if _is_system_error(error, text, _ABSENT):
        return CorruptData(f"{place}: a file is gone: {_first_line(text)}.", cure=RESTORE)
    return None


def _of_the_network(error: BaseException, place: str) -> NextupError | None:
    text = str(error)
    if "NoSuchBucket" in text:
        return BackendUnavailable(
            f"{place} cannot be used: there is no such bucket.",
            cure="Make the bucket, or name another in NEXTUP_LAKE_URL.",
        )
    if any(word in text for word in _UNWELCOME):
        return BackendUnavailable(
            f"{place} cannot be used: the store does not accept our credentials.",
            cure="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or HADOOP_USER_NAME, of "
            "somebody who may write there.",
        )
    if any(word in text for word in _UNREACHED):
        return BackendUnavailable(
            f"{place} cannot be reached.",
            cure="See whether the store runs, and whether NEXTUP_LAKE_URL and AWS_ENDPOINT_URL "
            "name it.",
        )
    return None


def _of_the_table(error: BaseException, place: str) -> NextupError:
    text = str(error)
    if isinstance(error, CommitFailedError):
        return Conflict(
            f"{place} was changed by somebody else at the same time; nothing was written.",
            cure="Run it again.",
        )
    if isinstance(error, SchemaMismatchError):
        return InvalidInput(f"{place}: {_first_line(text)}.")
    if looks_damaged(error):
        return CorruptData(f"{place} is damaged: {_first_line(text)}.", cure=RESTORE)
    return BackendUnavailable(f"{place} cannot be used: {_first_line(text)}.")


def looks_damaged(error: BaseException) -> bool:
    """Whether the error speaks of content, not of access."""
    text = str(error).lower()
    return isinstance(error, pl.exceptions.PanicException) or any(word in text for word in _BROKEN)


def _is_system_error(error: BaseException, text: str, codes: tuple[int, ...]) -> bool:
    if isinstance(error, OSError) and error.errno in codes:
        return True
    return any(f"(os error {code})" in text or f"Os {{ code: {code}," in text for code in codes)


def _first_line(text: str) -> str:
    """Without the stack that delta-rs appends."""
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason given"


RESTORE: Final = (
    "Restore the folder from a backup; or remove the table's folder, and the next pipeline run "
    "builds it anew from the event log."
)
