"""The film lakehouse on servers of its own: a publisher, a working folder, and its commands."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from tests.e2e.shell import NEXTUP, Done, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack.server import Server

DATA = Path(__file__).parents[3] / "shared" / "data"
ARCHIVE = DATA / "ml-latest-small.zip"
DATASET = "ml-latest-small"
SECONDS = 1500  # that one command may take on a busy machine; never a measure
SMALL = {
    "NEXTUP_SPARK__DRIVER_MEMORY": "1g",
    "NEXTUP_SPARK__EXECUTOR_MEMORY": "512m",
    "NEXTUP_SPARK__MAX_CORES": "2",
    "NEXTUP_SPARK__SHUFFLE_PARTITIONS": "2",
    "NEXTUP_RERANKER__MODE": "off",
}

needs_data = pytest.mark.skipif(
    not ARCHIVE.is_file(), reason=f"the real data set is not here: {ARCHIVE} is absent"
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def publisher(folder: Path) -> Iterator[str]:
    """A web server for the files of a folder."""

    def handler(*given: object) -> _Quiet:
        return _Quiet(*given, directory=str(folder))  # type: ignore[arg-type]

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cut_archive(target: Path, *, people: int, ratings: str = "", tags: str = "") -> None:
    """The real archive with the first people's ratings alone, and more lines after theirs."""
    with zipfile.ZipFile(ARCHIVE) as whole, zipfile.ZipFile(target, "w") as cut:
        for name in ("ratings.csv", "movies.csv", "tags.csv", "links.csv"):
            text = whole.read(f"{DATASET}/{name}").decode()
            if name == "ratings.csv":
                head, *lines = text.splitlines(keepends=True)
                kept = [line for line in lines if int(line.split(",")[0]) <= people]
                text = "".join([head, *kept]) + ratings
            text += tags if name == "tags.csv" else ""
            cut.writestr(f"{DATASET}/{name}", io.StringIO(text).getvalue())


@dataclass
class Lakehouse:
    """A working folder, and what its `.env` would say about these servers."""

    folder: Path
    variables: dict[str, str]
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return environment(**SMALL, **self.variables, **self.more)

    def nextup(self, *arguments: object, **more: str) -> Done:
        """One of Nextup's commands in the folder."""
        return self._run([NEXTUP, *map(str, arguments)], more)

    def make(self, *targets: str, **more: str) -> Done:
        """Targets of the recipe's Makefile."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return self._run(["make", "--no-print-directory", *targets], {"PATH": path, **more})

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that stays; it is killed when the block ends."""
        process = subprocess.Popen(
            [NEXTUP, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def _run(self, command: list[str], more: dict[str, str]) -> Done:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


def variables_of(start: Callable[[str], Server], *names: str) -> dict[str, str]:
    """Start servers of the test's own, and say where they are as `.env` would."""
    found: dict[str, str] = {}
    for name in names:
        url = urlsplit(start(name).url)
        if name == "kafka":
            found["KAFKA"] = url.netloc
        elif name == "redis":
            found["REDIS_URL"] = f"redis://{url.netloc}"
        elif name == "postgresql":
            found["POSTGRES_HOST"] = url.hostname or ""
            found["POSTGRES_PORT"] = str(url.port)
            found["POSTGRES_DB"] = url.path.lstrip("/")
            found["POSTGRES_USER"] = url.username or ""
            found["POSTGRES_PASSWORD"] = url.password or ""
            with psycopg.connect(url.geturl(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE mlflow")  # as the containers' first start does
    return found


def postgresql(variables: dict[str, str], database: str = "") -> psycopg.Connection[tuple[object]]:
    """The server's own client."""
    return psycopg.connect(
        host=variables["POSTGRES_HOST"],
        port=variables["POSTGRES_PORT"],
        user=variables["POSTGRES_USER"],
        password=variables["POSTGRES_PASSWORD"],
        dbname=database or variables["POSTGRES_DB"],
    )
