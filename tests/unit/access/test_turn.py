"""How often the guard's revision is read, and that no revocation is missed."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from nextup.domain.clients import Caller, Scope
from nextup.entrypoints.api.turn import Turn

HEADERS = [(b"x-api-key", b"a key")]
CALLER = Caller("ann", "shop", frozenset(Scope))


class Asked:
    """A guard that only remembers what it was asked; whom it knows is a revision."""

    open_to = None

    def __init__(self) -> None:
        self.revisions = 0
        self.identified_as_of: list[int] = []
        self.admitted: list[int] = []
        self.counted: list[tuple[str, str, int]] = []
        self.usage = self

    def revision(self) -> int:
        self.revisions += 1
        return self.revisions

    def identified(self, secret: bytes, revision: int) -> int:
        assert secret == b"a key"
        self.identified_as_of.append(revision)
        return revision

    def let_in(self, known: int, needed: Scope) -> Caller:
        self.admitted.append(known)
        return CALLER

    def count(self, client_id: str, what: str, times: int) -> None:
        self.counted.append((client_id, what, times))


@pytest.mark.parametrize("policy", ["asyncio", "uvloop"])
def test_requests_of_one_turn_share_a_revision(policy: str) -> None:
    """Those that were read together are let in by one, known by one look and counted together;
    what comes after it asks again."""
    guard = Asked()
    turn = Turn(guard)  # type: ignore[arg-type]

    async def request() -> None:
        turn.admit(HEADERS, Scope.READ)

    async def turns() -> None:
        for _ in range(3):
            await asyncio.gather(request(), request(), request())
        await asyncio.sleep(0)  # the last turn ends

    if policy == "uvloop":
        uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for Windows")
        uvloop.run(turns())
    else:
        asyncio.run(turns())
    assert guard.admitted == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert guard.identified_as_of == [1, 2, 3]
    assert guard.counted == [("ann", "read", 3)] * 3


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
            turn.admit(HEADERS, Scope.READ)
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
