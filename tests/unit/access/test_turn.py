"""How often the guard's revision is read, and that no revocation is missed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest

from nextup.domain.clients import Scope
from nextup.entrypoints.api.turn import Turn


class Asked:
    """A guard that only remembers what it was asked."""

    def __init__(self) -> None:
        self.revisions = 0
        self.admitted: list[int | None] = []

    def revision(self) -> int:
        self.revisions += 1
        return self.revisions

    def admit(
        self, headers: Iterable[tuple[bytes, bytes]], needed: Scope, revision: int | None = None
    ) -> None:
        self.admitted.append(revision)


@pytest.mark.parametrize("policy", ["asyncio", "uvloop"])
def test_requests_of_one_turn_share_a_revision(policy: str) -> None:
    """Those that were read together are let in by one; what comes after it asks again."""
    guard = Asked()
    turn = Turn(guard)  # type: ignore[arg-type]

    async def request() -> None:
        turn.admit((), Scope.READ)

    async def turns() -> None:
        for _ in range(3):
            await asyncio.gather(request(), request(), request())

    if policy == "uvloop":
        uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for Windows")
        uvloop.run(turns())
    else:
        asyncio.run(turns())
    assert guard.admitted == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("policy", ["asyncio", "uvloop"])
def test_what_is_read_later_asks_again(policy: str) -> None:
    """Bytes that arrive after the revision was read are met by another one, however fast."""
    guard = Asked()
    turn = Turn(guard)  # type: ignore[arg-type]

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            asyncio.get_running_loop().create_task(self.answer())

        async def answer(self) -> None:
            turn.admit((), Scope.READ)
            self.transport.write(b"%d\n" % guard.revisions)

    async def ask(port: int, times: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        seen = []
        for _ in range(times):
            writer.write(b"?")
            seen.append(int(await asyncio.wait_for(reader.readline(), 10)))
        writer.close()
        return seen

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await ask(port, 20) == list(range(1, 21))
        server.close()

    if policy == "uvloop":
        uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for Windows")
        uvloop.run(serve())
    else:
        asyncio.run(serve())
