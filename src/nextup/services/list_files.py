"""Everybody's lists as Parquet files, a folder per run, for programs that read no lake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl

from nextup.domain import tables as t
from nextup.domain.recommendations import PublishedList, Scored
from nextup.domain.tables import Table
from nextup.ports.engine import ReadsDatabases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from nextup.ports.engine import Engine
    from nextup.ports.files import Files
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.settings import Settings

CURRENT: Final = "_CURRENT"  # beside the runs' folders: the name of the one in service
SOURCE: Final = "published"  # the files say nothing of sources


@dataclass(frozen=True, slots=True)
class ListFiles:
    """The folder of one run; a file holds whole lists, by person and rank.

    Columns are the user (as a number where ids are), the item as it is called outside, `rank` from
    1, and `score`. A list is that of `Lists` in `services.publish`.
    """

    files: Files
    folder: str  # of all runs
    run: str
    user_name: str
    item_name: str

    @classmethod
    def of(cls, files: Files, settings: Settings, folder: str, run: str) -> ListFiles:
        """With the names that the settings give to columns of files."""
        history = settings.history
        return cls(files, folder, run, history.user_name, history.item_name)

    def make(self, engine: Engine, *, parts: int, whole_numbers: bool) -> int:
        """Write the run's lists out of `gold.recommendations`, in the place of what was there;
        returns how many places."""
        rows = engine.scan(Table.RECOMMENDATIONS).filter(nw.col(t.MODEL_ID) == self.run)
        rows = rows.select(t.USER_ID, t.ITEM_ID, t.RANK, t.SCORE)
        if isinstance(engine, ReadsDatabases):
            blocks = engine.divided(rows, t.USER_ID, parts)
        else:
            blocks = iter([engine.arrays(rows)])
        places = 0
        with self.files.replace_folder(f"{self.folder}/{self.run}") as target:
            for number, block in enumerate(blocks):
                frame = self._frame(block, whole_numbers=whole_numbers)
                frame.write_parquet(target / f"part-{number:05}.parquet")
                places += frame.height
        return places

    def measured(self) -> tuple[int, int, str]:
        """How many lists and places there are, and a digest of who gets what in which order."""
        digest = hashlib.blake2b(digest_size=4)
        lists = places = 0
        for each in self._lists():
            names = (each.user_id, *(one.item_id for one in each.items))
            digest.update("\0".join(names).encode())
            lists += 1
            places += len(each.items)
        return lists, places, digest.hexdigest()

    def write(self, store: RecommendationStore, generation: str) -> None:
        """All of them into the store."""
        store.write(generation, self._lists())

    def put_in_service(self) -> None:
        """Note the run's name in CURRENT."""
        with self.files.create(f"{self.folder}/{CURRENT}") as stream:
            stream.write(f"{self.run}\n".encode())

    def _lists(self) -> Iterator[PublishedList]:
        folder = f"{self.folder}/{self.run}"
        for name in self.files.list(folder):
            with self.files.open(f"{folder}/{name}") as stream:
                rows = pl.read_parquet(stream.read())
            for (user,), mine in rows.group_by(self.user_name, maintain_order=True):
                best = mine.sort(t.RANK)
                pairs = zip(best[self.item_name], best[t.SCORE], strict=True)
                items = tuple(Scored(item, score, SOURCE) for item, score in pairs)
                yield PublishedList(str(user), items)

    def _frame(
        self, block: Mapping[str, np.ndarray[Any, Any]], *, whole_numbers: bool
    ) -> pl.DataFrame:
        users = pl.Series(self.user_name, block[t.USER_ID].tolist(), pl.String)
        return pl.DataFrame(
            [
                users.cast(pl.Int64) if whole_numbers else users,
                pl.Series(self.item_name, block[t.ITEM_ID].tolist(), pl.String),
                pl.Series(t.RANK, block[t.RANK], pl.Int32),
                pl.Series(t.SCORE, block[t.SCORE], pl.Float64),
            ]
        ).sort(self.user_name, t.RANK)


def current_run(files: Files, folder: str) -> str | None:
    """The run in service; None where there is none yet."""
    name = f"{folder}/{CURRENT}"
    if not files.exists(name):
        return None
    with files.open(name) as stream:
        return str(stream.read().decode().strip())
