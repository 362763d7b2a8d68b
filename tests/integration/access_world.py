"""Servers that ask for credentials, each a process of its own, and clients of two tenants."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from tests.integration.api_world import catalogue, train

from nextup.bootstrap import open_platform
from nextup.domain.clients import ALL_SCOPES, Scope
from nextup.services.access.accounts import Accounts
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEXTUP = "from nextup.entrypoints.cli.app import main; main()"
PASSWORD = "correct-horse-battery-staple-7"
FOREIGN = "acme"  # the other tenant


@dataclass
class World:
    """A deployment with tenants `default` and `acme`, and a running server over it."""

    home: Path
    keys: dict[str, str] = field(default_factory=dict)  # by client
    url: str = ""
    admin_says: str = ""  # what the first start printed

    def client(self, name: str | None) -> httpx.Client:
        """Sends requests as this client; None: as nobody."""
        headers = {"X-API-Key": self.keys[name]} if name else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def register(self, name: str, tenant: str = "default", **given: Any) -> None:
        with open_platform(self.settings()) as platform:
            made = Accounts(platform.clients, platform.settings).register(
                name, tenant=tenant, **{"scopes": ALL_SCOPES, **given}
            )
        self.keys[name] = made.secret

    def settings(self, **changes: Any) -> Any:
        return load_settings(self.home, access=self.access, **changes)

    access: dict[str, Any] = field(default_factory=dict)


def make_world(home: Path, *, trained: bool = True, **access: Any) -> World:
    """Two tenants with the same catalogue, and a model each."""
    home.mkdir(exist_ok=True)
    world = World(home, access={"auth": "keys", **access})
    lines = "\n".join(
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in world.access.items()
    )
    text = f"[access]\n{lines}\n\n[recommend]\nlist_depth = 30\ncandidates = 60\n"
    text += "\n[lake]\ncollect_seconds = 0  # so that two who do the same leave the same\n"
    (home / "nextup.toml").write_text(text, encoding="utf-8")
    for tenant in ("default", FOREIGN):
        with open_platform(world.settings(tenant=tenant)) as platform:
            platform.catalog.put_items(catalogue())
            if trained:
                train(platform, f"model-of-{tenant}")
    return world


def register_all(world: World) -> None:
    """An admin, one with each scope, one without each, and the rival of another tenant."""
    world.register("admin", password=PASSWORD)
    world.register("rival", FOREIGN, password=PASSWORD)
    for scope in Scope:
        world.register(f"only-{scope}", scopes=[scope])
        world.register(f"all-but-{scope}", scopes=ALL_SCOPES - {scope})


@contextmanager
def server_of(world: World, *arguments: str) -> Iterator[World]:
    """`nextup serve` over the world until the block ends; it must end well."""
    environment = {
        name: value for name, value in os.environ.items() if name != "NEXTUP_ACCESS__AUTH"
    }
    process = subprocess.Popen(
        [sys.executable, "-c", NEXTUP, "serve", "-C", str(world.home), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"Serving on (\S+);", line):
                world.url, world.admin_says = found[1], "".join(said)
                break
        assert world.url, "".join(said)
        yield world
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
        said.append(rest)
    assert process.returncode == 0, "".join(said)
    for secret in world.keys.values():
        assert secret not in "".join(said), "a secret was logged"
