"""The folders of the recipe's data, and how files get from one to the next.

simulation_data/          what others drop: the daily files
raw/<day>/                those of a day, as they came; `_fetched.json` says which
processed/<day>/          what was made of them: user_vectors.jsonl
no_injected_data/<day>/   what could not be injected, row and rule: <file>.jsonl
external/movies.csv       what can be recommended
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from nextup.bootstrap import open_adapter
from nextup.recipes.platform_api.tables import Folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from nextup.domain.items import Item
    from nextup.ports.files import Files
    from nextup.recipes.platform_api.daily_files import Refused
    from nextup.settings import Settings

INBOX: Final = "simulation_data"
RAW: Final = "raw"
PROCESSED: Final = "processed"
ASIDE: Final = "no_injected_data"
MOVIES: Final = "external/movies.csv"
FETCHED: Final = "_fetched.json"
VECTORS: Final = "user_vectors.jsonl"
DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
PIECE: Final = 1 << 20  # bytes copied at a time


class DataFolder:
    """The folders of one deployment, on local disk or HDFS. Whoever opens it closes it."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @classmethod
    def of(cls, settings: Settings, url: str) -> DataFolder:
        """At the URL, which `file://` begins relative to the deployment's folder."""
        return cls(open_adapter("files", settings.model_copy(update={"files_url": url})))

    def fetch(self, day: date) -> list[str]:
        """Copy what nobody has fetched yet to the day's raw files, and return the new ones' names.

        A file named after a later day waits for it. What was fetched before, under whatever name,
        is known by its content. One that has changed since then is another file, and gets a name
        of its own where the day has its name already.
        """
        mine = self._fetched(day)
        known = {digest for each in self._fetched_days() for digest in self._fetched(each).values()}
        new = []
        for name in self._names(INBOX):
            digest = self._digest(f"{INBOX}/{name}")
            if _day_of(name, day) > day or digest in known:
                continue
            target = name if name not in mine else _renamed(name, digest)
            self._copy(f"{INBOX}/{name}", f"{RAW}/{day}/{target}")
            mine[target] = digest
            known.add(digest)
            self._write(f"{RAW}/{day}/{FETCHED}", msgspec.json.encode(mine))
            new.append(target)
        return new

    def raw(self, day: date) -> Iterator[tuple[str, AbstractContextManager[BinaryIO]]]:
        """The day's raw files, each with what opens it."""
        for name in self._names(f"{RAW}/{day}"):
            if name != FETCHED:
                yield name, self._files.open(f"{RAW}/{day}/{name}")

    def days_after(self, day: date) -> list[date]:
        """Later days of which there are raw files."""
        return [each for each in self._fetched_days() if each > day]

    def put_vectors(self, day: date, people: Iterable[Folded]) -> None:
        """Keep the vectors of the day's people, in place of those of an earlier try."""
        lines = [msgspec.json.encode(one._asdict()) + b"\n" for one in people]
        self._write(f"{PROCESSED}/{day}/{VECTORS}", b"".join(lines))

    def vectors(self, day: date) -> list[Folded]:
        """What `put_vectors` kept; nothing where it did not."""
        name = f"{PROCESSED}/{day}/{VECTORS}"
        if not self._files.exists(name):
            return []
        with self._files.open(name) as stream:
            return [Folded(**msgspec.json.decode(line)) for line in stream]

    def put_aside(self, day: date, file: str, refused: Sequence[Refused]) -> None:
        """Keep rows that could not be injected, with the rules; none: nothing stays of an earlier
        try."""
        name = f"{ASIDE}/{day}/{file}.jsonl"
        if not refused:
            self._files.remove(name)
            return
        lines = [
            msgspec.json.encode(
                {"line": line, "row": row, "rule": broken.rule, "reason": broken.reason}
            )
            for line, row, broken in refused
        ]
        self._write(name, b"\n".join(lines) + b"\n")

    def put_movies(self, items: Iterable[Item]) -> int:
        """Write the list of what can be recommended; returns how many films it has."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("movie_id", "title", "genres", "year"))
        count = 0
        for item in items:
            if item.available:
                writer.writerow((item.item_id, item.title, "|".join(item.genres), item.year or ""))
                count += 1
        self._write(MOVIES, text.getvalue().encode())
        return count

    def close(self) -> None:
        """Release everything."""
        self._files.close()

    def _names(self, folder: str) -> list[str]:
        """Its files; hidden ones are somebody's unfinished work."""
        names = self._files.list(folder)
        return [name for name in names if not name.endswith("/") and not name.startswith(".")]

    def _fetched_days(self) -> list[date]:
        names = [name.rstrip("/") for name in self._files.list(RAW)]
        return [date.fromisoformat(name) for name in names if DAY.fullmatch(name)]

    def _fetched(self, day: date) -> dict[str, str]:
        """The digests of the day's files, by name."""
        name = f"{RAW}/{day}/{FETCHED}"
        if not self._files.exists(name):
            return {}
        with self._files.open(name) as stream:
            return msgspec.json.decode(stream.read(), type=dict[str, str])

    def _digest(self, name: str) -> str:
        with self._files.open(name) as stream:
            digest = hashlib.sha256()
            while piece := stream.read(PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _copy(self, source: str, target: str) -> None:
        with self._files.open(source) as stream, self._files.create(target) as copy:
            while piece := stream.read(PIECE):
                copy.write(piece)

    def _write(self, name: str, content: bytes) -> None:
        with self._files.create(name) as stream:
            stream.write(content)


def _day_of(name: str, otherwise: date) -> date:
    found = DAY.search(name)
    try:
        return date.fromisoformat(found[0]) if found else otherwise
    except ValueError:
        return otherwise


def _renamed(name: str, digest: str) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}-{digest[:8]}{path.suffix}"
