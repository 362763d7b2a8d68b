"""What Spark and its JVM say, in Nextup's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nextup.adapters.lake.delta_errors import RESTORE
from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    Conflict,
    CorruptData,
    InvalidInput,
    StorageFull,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.domain.errors import NextupError

_FULL: Final = ("No space left on device", "Disk quota exceeded")
_DAMAGED: Final = (
    "ChecksumException",
    "FAILED_READ_FILE",
    "CANNOT_READ_FILE",
    "is not a Parquet file",
    "ParquetDecodingException",
    "FileNotFoundException",
)
_GONE: Final = (
    "SparkContext was shut down",
    "stopped SparkContext",
    "SparkContext is stopped",
    "All masters are unresponsive",
    "Master removed our application",
    "Answer from Java side is empty",
    "Error while sending or receiving",
    "An error occurred while trying to connect to the Java server",
    "Connection refused",
    "StatusCode.UNAVAILABLE",
)
_MEMORY: Final = ("OutOfMemoryError", "Container killed", "exceeds spark.driver.maxResultSize")
_NO_DRIVER: Final = ("S3AFileSystem not found",)
_LOST: Final = ("ExecutorLostFailure", "Stage cancelled", "Job aborted due to stage failure")
_RAISED: Final = re.compile(r"^nextup\.domain\.errors\.(\w+): (.+)$", re.MULTILINE)
_KINDS: Final = {
    kind.__name__: kind for kind in (BackendUnavailable, Conflict, CorruptData, InvalidInput)
}
_WRONG: Final = ("UNRESOLVED_COLUMN", "DATATYPE_MISMATCH")
_CAUSE: Final = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): (.+)$", re.MULTILINE)


def raised_there(error: BaseException) -> NextupError | None:
    """The NextupError that an executor raised, if it was one."""
    found = _RAISED.findall(str(error))
    if not found:
        return None
    kind, message = found[-1]
    return _KINDS.get(kind, BackendUnavailable)(message)


def in_our_words(error: BaseException, place: str) -> NextupError:
    """The NextupError that says what this error of Spark means."""
    text = str(error)
    for words, meaning in _MEANINGS:
        if any(word in text for word in words):
            return meaning(place, _reason(text))
    return BackendUnavailable(f"Spark at {place} cannot be used: {_reason(text)}.")


def _full(place: str, reason: str) -> NextupError:
    return StorageFull(
        "No space is left where Spark writes; nothing was changed.",
        cure="Free some space on the lake or in the executors' folders, and run it again.",
    )


def _out_of_memory(place: str, reason: str) -> NextupError:
    return BackendUnavailable(
        "Spark ran out of memory; nothing was changed.",
        cure="Raise spark.executor_memory or spark.driver_memory, or spark.shuffle_partitions.",
    )


def _gone(place: str, reason: str) -> NextupError:
    return BackendUnavailable(
        f"Spark at {place} went away; nothing was changed.",
        cure="See whether it runs; running the same command again continues.",
    )


def _no_driver(place: str, reason: str) -> NextupError:
    return ConfigurationError(
        f"Spark at {place} has no driver for S3.",
        cure="`nextup spark fetch`, with lake_url at S3, names a folder with its jars: give them "
        "to the server of Spark Connect, or put them into the folder of spark.connectors. A "
        "process that began with another lake gets them when it is started again.",
    )


def _damaged(place: str, reason: str) -> NextupError:
    return CorruptData(f"The lake is damaged: {reason}.", cure=RESTORE)


def _impossible(place: str, reason: str) -> NextupError:
    return InvalidInput(f"Spark cannot compute this: {reason}.")


def _failed(place: str, reason: str) -> NextupError:
    return BackendUnavailable(
        f"A job of Spark failed at {place}; nothing was changed: {reason}.",
        cure="Running the same command again continues.",
    )


_MEANINGS: Final[Sequence[tuple[Sequence[str], Callable[[str, str], NextupError]]]] = (
    (_FULL, _full),
    (_MEMORY, _out_of_memory),
    (_NO_DRIVER, _no_driver),
    (_GONE, _gone),
    (_DAMAGED, _damaged),
    (_WRONG, _impossible),
    (_LOST, _failed),
)


def _reason(text: str) -> str:
    """The innermost cause, in one line without stack and class."""
    causes = _CAUSE.findall(text)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    line = causes[-1] if causes else (lines or ["no reason given"])[0]
    return str(line).strip().rstrip(".")[:300]
