"""What can go wrong, as exceptions: the server's problem documents, and silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class NextupProblem(Exception):
    """The server refused, or could not. `cure` says what to do next; `request_id` finds the
    request in the server's log."""

    def __init__(self, status: int, document: Mapping[str, Any], *, retry_after: float | None):
        self.status = status
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        self.cure = str(document.get("cure", ""))
        self.request_id = str(document.get("request_id", ""))
        self.errors: Sequence[Mapping[str, Any]] = document.get("errors") or ()
        self.document = dict(document)  # with members of this problem alone: `rule`, ...
        self.retry_after = retry_after  # seconds; None: the server does not say
        super().__init__(f"{status} {self.title}: {self.detail} {self.cure}".strip())

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self.status, self.document, self.retry_after)


class InvalidRequest(NextupProblem):
    """The request does not fit: 400, 413, 422 and the like. Sending it again changes nothing."""


class NotSignedIn(NextupProblem):
    """No key or token, or none that is good."""


class NotAllowed(NextupProblem):
    """The client does not have the scope that this needs."""


class NotFound(NextupProblem):
    """It does not exist, for this client."""


class Conflict(NextupProblem):
    """Something else stands in the way, or is under way."""


class LimitReached(NextupProblem):
    """The client has used up what it may do for now; see `retry_after`."""


class ServerFailure(NextupProblem):
    """The server could not, through no fault of the request."""


class Unavailable(ServerFailure):
    """The server cannot just now: overloaded, stopping, or a backend is away."""


class Unreachable(Exception):
    """No answer came: the server is down, or the network is."""


class BatchFailed(Exception):
    """Events of a batch could not be sent; they are in `unsent`, with their ids, so that sending
    them again is safe."""

    def __init__(self, unsent: Sequence[Mapping[str, Any]], cause: Exception) -> None:
        super().__init__(f"{len(unsent)} events were not sent: {cause}")
        self.unsent = tuple(unsent)


_BY_STATUS: dict[int, type[NextupProblem]] = {
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    429: LimitReached,
    503: Unavailable,
}


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> NextupProblem:
    """The exception for an answer that is no success, whoever wrote it: a proxy may have."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    if not isinstance(document, dict):
        document = {"title": "No problem document", "detail": body[:200].decode("latin-1")}
    kind = _BY_STATUS.get(status, ServerFailure if status >= 500 else InvalidRequest)
    return kind(status, document, retry_after=_seconds(headers.get("retry-after", "")))


def _seconds(text: str) -> float | None:
    """Of Retry-After; its other form, a date, nobody sends us."""
    return float(text) if text.isdecimal() else None


def _rebuilt(
    kind: type[NextupProblem], status: int, document: Mapping[str, Any], after: float | None
) -> NextupProblem:
    return kind(status, document, retry_after=after)
