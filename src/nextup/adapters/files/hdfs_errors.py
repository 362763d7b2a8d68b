"""What HDFS and its driver say, in Nextup's words."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    InvalidInput,
    NextupError,
    NotFound,
    StorageFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names of Hadoop's exceptions, or what they say; the driver hands both on as text.
UNFIT: Final = ("ParentNotDirectory", "InvalidPath", "PathComponentTooLong", "not a directory")
REFUSED: Final = ("AccessControlException", "Permission denied")
FULL: Final = ("QuotaExceeded", "could only be written to 0 of", "No space left")
LEASED: Final = ("AlreadyBeingCreated", "RecoveryInProgress", "lease")
SAID: Final = re.compile(r'^RPCError\("[^"]*", "(?P<what>.*)"\)$', re.DOTALL)


def is_leased(error: RuntimeError | FileExistsError) -> bool:
    """Whether the NameNode believes that somebody, we perhaps, is still writing the file."""
    return any(word in str(error) for word in LEASED)


@contextmanager
def hdfs_errors(name: str, place: str) -> Iterator[None]:
    """Translate what the driver says about the file or folder."""
    try:
        yield
    except NextupError:
        raise
    except (OSError, RuntimeError) as error:
        raise _translated(error, name, place) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the driver's, when a server goes in mid-call
            raise
        raise BackendUnavailable(f"{place} has gone away.") from error


def _translated(error: Exception, name: str, place: str) -> NextupError:
    text = str(error)
    if any(word in text for word in UNFIT):
        return InvalidInput(f"{name!r} cannot be used on HDFS.", cure="Choose another name.")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"There is no {name!r}.")
    if isinstance(error, PermissionError) or any(word in text for word in REFUSED):
        return ConfigurationError(
            f"{place} does not let us use {name!r}.",
            cure="Give the user in HADOOP_USER_NAME the right to, or choose another folder.",
        )
    if any(word in text for word in FULL):
        return StorageFull(
            f"No space is left on {place} for {name!r}.",
            cure="Free some, raise the quota, or see whether its DataNodes are alive.",
        )
    return BackendUnavailable(f"{place} cannot be used: {_what(text)}.")


def _what(text: str) -> str:
    """The first line, without the server's stack."""
    found = SAID.match(text)
    said = found["what"] if found else text
    return said.replace("\\n", "\n").partition("\n")[0].strip().rstrip(".") or "no reason given"
