"""What a recipe cannot do without, looked at when something that stays is started."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextup.bootstrap import Platform
    from nextup.entrypoints.cli.output import Output

PATIENCE_SECONDS = 60.0  # with servers that are silent, before the start goes on without knowing


def say_what_is_missing(platform: Platform, out: Output) -> bool:
    """Name each server that does not answer, and what to do; returns whether there is one. What
    was started goes on: it does without, or waits."""
    from nextup.recipes.beside import missing

    found = missing(platform)
    for one in found:
        out.say(f"Missing: {one.port} ({one.url}). {one.says} {one.cure}".rstrip())
    return bool(found)


def look_from_outside(platform: Platform) -> None:
    """The same in a process of its own: some drivers leave threads behind, with which a server
    must not divide itself into workers."""
    from nextup.recipes.folders import module_of

    if module_of(platform.settings.recipe, "needs") is None:
        return
    command = [sys.executable, "-m", "nextup", "--tenant", platform.settings.tenant]
    arguments = ["doctor", "--needed", "-C", str(platform.settings.home)]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run([*command, *arguments], check=False, timeout=PATIENCE_SECONDS)  # noqa: S603 - ourselves
