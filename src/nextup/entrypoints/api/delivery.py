"""How answers travel: not at all where the caller has them already (ETag), and compressed where
they are large."""

from __future__ import annotations

import gzip
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Headers = list[tuple[bytes, bytes]]

LEVEL = 4  # of gzip: half the time of the default for a few per cent more bytes
OF_A_BODY = {b"content-length", b"content-type"}
TAGGED = ("/v1/items", "/v1/popular", "/v1/operations", "/openapi.json", "/docs", "/assets")
"""Where answers stay the same for a while. A person's list never does: each is kept anew."""


class Delivery:
    """Looks at whole answers to GET; what comes in pieces passes through."""

    def __init__(self, app: ASGIApp, *, compress_bytes: int) -> None:
        """Answers of so many bytes and more are compressed for those who accept it; 0: never."""
        self._app = app
        self._compress_bytes = compress_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "POST"}:
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        tagged = scope["method"] == "GET" and scope["path"].startswith(TAGGED)
        known = asked.get(b"if-none-match", b"") if tagged else b""
        accepts = b"gzip" in asked.get(b"accept-encoding", b"") and self._compress_bytes > 0
        if not tagged and not accepts:
            await self._app(scope, receive, send)
            return
        least = self._compress_bytes if accepts else 0
        await self._app(scope, receive, _Parcel(send, tagged, known, least).send)


class _Parcel:
    """One answer."""

    def __init__(self, send: Send, tagged: bool, known: bytes, least: int) -> None:
        self._send = send
        self._tagged = tagged
        self._known = known
        self._least = least  # bytes worth compressing; 0: none are
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Hold the head back until the body is there."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is None:  # a further piece
            await self._send(message)
            return
        body: bytes = message.get("body", b"")
        if not message.get("more_body") and not _is_encoded(start["headers"]):
            start, body = self._packed(start, bytes(body))
        await self._send(start)
        await self._send({**message, "body": body})

    def _packed(self, start: Message, body: bytes) -> tuple[Message, bytes]:
        headers: Headers = list(start["headers"])
        if self._tagged and start["status"] == 200:
            tag = b'W/"' + blake2b(body, digest_size=12).hexdigest().encode() + b'"'
            headers.append((b"etag", tag))
            if _knows(self._known, tag):
                kept = [
                    one for one in headers if one[0] not in {b"content-length", b"content-type"}
                ]
                return {**start, "status": 304, "headers": kept}, b""
        if self._least:
            headers.append((b"vary", b"Accept-Encoding"))
        if self._least and len(body) >= self._least:
            body = gzip.compress(body, LEVEL, mtime=0)
            headers = [one for one in headers if one[0] != b"content-length"]
            headers.append((b"content-encoding", b"gzip"))
            headers.append((b"content-length", str(len(body)).encode()))
        return {**start, "headers": headers}, body


def _is_encoded(headers: Headers) -> bool:
    return any(name == b"content-encoding" for name, _ in headers)


def _knows(known: bytes, tag: bytes) -> bool:
    """Whether the caller's tags hold this one; weak tags are compared by their text."""
    tags = {one.strip().removeprefix(b"W/") for one in known.split(b",")}
    return b"*" in tags or tag.removeprefix(b"W/") in tags
