"""Fetching a data set from its publisher: whole, checked, and resumable."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nextup.domain.errors import BackendUnavailable, CorruptData, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int], None]
    """Called as `progress(done, total)`, in bytes; `total` is 0 where the server does not say."""

_BLOCK = 1 << 18  # bytes read at once
_TIMEOUT_SECONDS = 30.0
_TRIES = 3
_PAUSE_SECONDS = 0.5  # before the second try; doubles
_MD5 = re.compile(r"\b[0-9a-fA-F]{32}\b")
_NO_CHECKSUM: Final = ""


class Download(NamedTuple):
    """A file that is here now."""

    path: Path
    url: str
    downloaded_at: datetime  # aware, UTC
    checked: bool  # against the publisher's checksum; False where it gives none


class Refused(BackendUnavailable):
    """The publisher answered, and gave no file."""

    def __init__(self, url: str, code: int, cure: str) -> None:
        super().__init__(f"{url} answered {code}.", cure=cure)
        self.code = code  # of HTTP


def download(
    url: str,
    folder: Path,
    *,
    cure: str,
    progress: Progress,
    name: str = "",
    authorization: str = "",
) -> Download:
    """Fetch the file into the folder, under the last part of its URL, or under `name`.

    A file that is already there is checked and kept. A part of one is continued; what arrives is
    called by its name only when it is whole and has the checksum that the publisher gives beside
    it (`<url>.md5`), if any. `cure` is what a person without internet should do instead.

    `authorization` is shown to this publisher alone, not to where it sends us on; nor is there a
    checksum then.

    Raises BackendUnavailable (offline, refused, cut off again and again), CorruptData (wrong
    checksum; the file is removed) and StorageFull.
    """
    target = folder / (name or url.rsplit("/", 1)[-1])
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        expected = None if target.exists() else _checksum(url, cure, authorization)
        if expected is None:  # it is here; a publisher out of reach does not matter
            at = datetime.fromtimestamp(target.stat().st_mtime, UTC)
            return Download(target, url, at, checked=False)
        _fetch(url, part, cure, progress, authorization)
        if expected != _NO_CHECKSUM and _md5(part) != expected:
            part.unlink()
            raise CorruptData(
                f"{url} arrived with another checksum than the publisher's.",
                cure="Run the command again; the damaged file was removed.",
            )
        part.replace(target)
    except OSError as error:
        kind = StorageFull if error.errno in {28, 122} else BackendUnavailable  # ENOSPC, EDQUOT
        raise kind(f"{folder} cannot be written: {error.strerror or error}.") from error
    return Download(target, url, datetime.now(UTC), checked=expected != _NO_CHECKSUM)


def _fetch(url: str, part: Path, cure: str, progress: Progress, authorization: str) -> None:
    """Bring `part` to its full length, in several tries that each go on where the last ended."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
        before = part.stat().st_size if part.exists() else 0
        try:
            if _continue(_request(url, before, authorization), part, before, progress):
                return
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416:  # there is nothing after what we have
                    _refuse_longer(error, part, before)
                    return
                raise Refused(url, error.code, cure) from error
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == _TRIES - 1:
                raise _unreachable(url, error, cure) from error
    raise BackendUnavailable(
        f"{url} was cut off {_TRIES} times.", cure="Run the command again; it goes on from there."
    )


def _request(url: str, have: int, authorization: str) -> urllib.request.Request:
    """For what comes after byte `have`."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    return request


def _continue(request: urllib.request.Request, part: Path, have: int, progress: Progress) -> bool:
    """Read on from byte `have`; returns whether the file is whole now."""
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        resumed = answer.status == 206
        start = have if resumed else 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = start + length if length else 0
        done = start
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
    return not total or done >= total


def _refuse_longer(error: urllib.error.HTTPError, part: Path, have: int) -> None:
    size = (error.headers.get("Content-Range") or "").rpartition("/")[2]
    if size.isdecimal() and int(size) != have:
        part.unlink()
        raise CorruptData(
            f"{part} was longer than the publisher's file; it was removed.",
            cure="Run the command again.",
        )


def _checksum(url: str, cure: str, authorization: str) -> str:
    """The MD5 sum that the publisher gives; empty where it gives none."""
    if authorization:
        return _NO_CHECKSUM
    try:
        with urllib.request.urlopen(f"{url}.md5", timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            found = _MD5.search(answer.read(4096).decode("ascii", errors="replace"))
            return found[0].lower() if found else _NO_CHECKSUM
    except urllib.error.HTTPError as error:
        with error:
            if error.code in {403, 404, 410}:
                return _NO_CHECKSUM
            raise Refused(url, error.code, cure) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(url, error, cure) from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _new_md5).hexdigest()


def _new_md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _unreachable(url: str, error: Exception, cure: str) -> BackendUnavailable:
    reason = getattr(error, "reason", None) or error
    return BackendUnavailable(f"{url} cannot be reached: {reason}.", cure=cure)
