"""The real executable in a process of its own, as a person or a script would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NEXTUP = str(Path(sys.executable).with_name("nextup"))
TIMEOUT_SECONDS = 240  # of anything that should end by itself; never a measure


@dataclass(frozen=True)
class Done:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it should be."""
        assert self.status == 0, self.err
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """This one, without what a developer's shell says about their own platform."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXTUP_")}
    return kept | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | more


def nextup(*arguments: object, cwd: Path, typed: str = "", **more: str) -> Done:
    """Run a command to its end; `typed` is its standard input, `more` its environment."""
    done = subprocess.run(
        [NEXTUP, *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        input=typed,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*arguments: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that stays; what is left of it is killed when the block ends."""
    process = subprocess.Popen(
        [NEXTUP, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """Read on until a line holds the text; fails when the output ends without it."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"'{text}' was never printed: {seen}")


def interrupt(process: subprocess.Popen[str]) -> Done:
    """Press Ctrl-C and wait for the end."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)
