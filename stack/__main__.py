"""`make stack`: real servers as local processes, until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stack.errors import NotReady, Unavailable
from stack.registry import CLASSES, server_class
from stack.roles import PREFERRED, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.server import Server

ONE_OF_EACH = [name for name in CLASSES if any(name in names for names in PREFERRED.values())]
WATCH_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the named servers, or one of each kind that this machine can run."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("servers", nargs="*", metavar="server", help=f"of {', '.join(CLASSES)}")
    parser.add_argument("--fetch", action="store_true", help="only install what they consist of")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.servers if name not in CLASSES]:
        parser.error(f"no such server: {', '.join(unknown)}; there are {', '.join(CLASSES)}")
    names = asked.servers or ONE_OF_EACH
    return _fetch(names) if asked.fetch else _run(names, every=bool(asked.servers))


def _fetch(names: Sequence[str]) -> int:
    """Tests skip what is missing, so that this never fails."""
    for name in names:
        try:
            server_class(name).install()
        except Unavailable as error:
            _skipped(name, error)
    return 0


def _run(names: Sequence[str], *, every: bool) -> int:
    """Until Ctrl-C, or until a server ends by itself. `every`: one that cannot run is an error."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    running: dict[str, Server] = {}
    folder = Path(tempfile.mkdtemp(prefix="nextup-stack-"))
    try:
        skipped = _start(names, running)
        if not running or (every and skipped):
            return 1
        _tell(running, folder)
        return _watch(running)
    except KeyboardInterrupt:
        print("stopping ...", flush=True)
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave some running
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda server: server.stop(), running.values()))
        shutil.rmtree(folder, ignore_errors=True)


def _start(names: Sequence[str], running: dict[str, Server]) -> list[str]:
    """All at once, into `running`; returns those that this machine cannot run."""
    skipped = []

    def start(name: str) -> None:
        print(f"starting {name} ...", flush=True)
        running[name] = server_class(name)().start()

    with ThreadPoolExecutor() as pool:
        starting = {name: pool.submit(start, name) for name in names}
    for name, outcome in starting.items():
        try:
            outcome.result()
        except (Unavailable, NotReady) as error:
            _skipped(name, error)
            skipped.append(name)
    return skipped


def _tell(running: dict[str, Server], folder: Path) -> None:
    (folder / "nextup.toml").write_text(settings_of(running), encoding="utf-8")
    print()
    for name, server in sorted(running.items()):
        print(f"  {name:<12} {server.url}  {server.version}")
    for server in running.values():
        for key, value in server.environment.items():
            print(f"  export {key}={value}")
    print(f"\nA nextup.toml for them:  nextup doctor -C {folder}")
    for name, server in sorted(running.items()):
        print(f"For tests:  export NEXTUP_TEST_{name.upper()}_URL={server.url}")
    print("\nCtrl-C stops them and removes all they hold.", flush=True)


def _watch(running: dict[str, Server]) -> int:
    while True:
        time.sleep(WATCH_SECONDS)
        for name, server in running.items():
            for process in server.processes:
                if not process.running:
                    print(f"{name} ended by itself:\n{process.last_words()}", file=sys.stderr)
                    return 1


def _skipped(name: str, error: Exception) -> None:
    print(f"skipping {name}: {error}", file=sys.stderr, flush=True)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
