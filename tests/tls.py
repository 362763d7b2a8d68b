"""Certificates that sign themselves, and a door with one before a server that has none."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def certificate(folder: Path) -> tuple[Path, Path]:
    """One for 127.0.0.1, which signs itself, and its key."""
    signed, key = folder / "ca.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-nodes", "-days", "2", "-keyout", str(key), "-out", str(signed)]
    subprocess.run([*made, *subject, *files], check=True, capture_output=True)
    return signed, key


@contextmanager
def tls_before(port: int, signed: Path, key: Path) -> Iterator[int]:
    """The port of a door that speaks TLS, and hands on what it hears to another port, as a
    gateway does; HTTP/2 is agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed, key)
    context.set_alpn_protocols(["h2"])

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_hand_on(reader, back), _hand_on(there, writer))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        door = asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(door, loop).result()
        yield server.sockets[0].getsockname()[1]
        asyncio.run_coroutine_threadsafe(_shut(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _shut(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError):
        while heard := await reader.read(1 << 16):
            writer.write(heard)
            await writer.drain()
