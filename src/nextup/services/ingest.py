"""Get data in: known data sets by name or file, and anybody's own tables.

Each import is one file's rows under the event contract: good ones into the log in chunks, each
durable when it is counted; bad ones into quarantine with their line. Event ids are made from the
data set, the file's hash and the row number, so running an import again, after a kill or for no
reason, adds nothing that is there already.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from nextup.domain.errors import InvalidInput
from nextup.services.downloads import download
from nextup.services.importers import goodbooks, items, movielens, table
from nextup.services.importers.loading import Destination, Origin, nothing_to_tell
from nextup.services.importers.report import IngestReport
from nextup.services.importers.sources import Source
from nextup.services.importers.table import TableOptions
from nextup.services.kaggle import PREFIX, fetch_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.services.downloads import Progress as DownloadProgress
    from nextup.services.importers.loading import Progress

__all__ = [
    "EDITIONS",
    "Destination",
    "IngestReport",
    "Kaggle",
    "TableOptions",
    "ingest_goodbooks",
    "ingest_items",
    "ingest_movielens",
    "ingest_table",
]

PUBLISHER: Final = "https://files.grouplens.org/datasets/movielens"
EDITIONS: Final = ("latest-small", "100k", "1m", "10m", "20m", "25m", "32m")
"""The editions of MovieLens that can be asked for by name."""


class Kaggle(NamedTuple):
    """How to ask Kaggle."""

    address: str
    variables: Mapping[str, str]  # of the environment, among them the key


def ingest_movielens(
    what: str,
    into: Destination,
    *,
    downloads: Path,
    keep_files: bool = False,
    progress: Progress = nothing_to_tell,
    download_progress: DownloadProgress = nothing_to_tell,
    publisher: str = PUBLISHER,
    kaggle: Kaggle | None = None,
) -> IngestReport:
    """Import MovieLens from a zip file or a folder, by the name of an edition, or as somebody put
    it on Kaggle: `kaggle:owner/name`.

    A name that is no file is downloaded into the folder `downloads` first, over HTTPS.
    """
    name, origin = what.lower().removeprefix("ml-"), None
    path = Path(what)
    if name in EDITIONS and not path.exists():
        url = f"{publisher}/ml-{name}.zip"
        cure = f"Fetch it elsewhere, then: nextup ingest movielens <path to ml-{name}.zip>"
        fetched = download(url, downloads, cure=cure, progress=download_progress)
        path, origin = fetched.path, Origin(url, fetched.downloaded_at)
    elif kaggle is not None and what.startswith(PREFIX):
        fetched = fetch_dataset(
            what.removeprefix(PREFIX),
            downloads,
            address=kaggle.address,
            variables=kaggle.variables,
            progress=download_progress,
        )
        path, origin = fetched.path, Origin(fetched.url, fetched.downloaded_at)
    elif not path.exists():
        raise InvalidInput(
            f"{what!r} is neither a file nor an edition of MovieLens.",
            cure=f"Give a zip file, a folder, {PREFIX}owner/name, or one of {', '.join(EDITIONS)}.",
        )
    return movielens.ingest(
        Source(path), into, origin=origin, keep_files=keep_files, progress=progress
    )


def ingest_goodbooks(
    path: Path,
    into: Destination,
    *,
    keep_files: bool = False,
    progress: Progress = nothing_to_tell,
) -> IngestReport:
    """Import goodbooks-10k, either edition, from a zip file or a folder."""
    return goodbooks.ingest(Source(path), into, keep_files=keep_files, progress=progress)


def ingest_table(
    path: Path, into: Destination, options: TableOptions, *, progress: Progress = nothing_to_tell
) -> IngestReport:
    """Import a table in CSV, JSON lines or Parquet, its columns mapped by the options."""
    return table.ingest(Source(path), into, options, progress=progress)


def ingest_items(
    path: Path,
    into: Destination,
    *,
    mapping: Mapping[str, str],
    kind: str,
    progress: Progress = nothing_to_tell,
) -> IngestReport:
    """Import a table of items alone, its columns mapped as they are called here."""
    return items.ingest(Source(path), into, mapping=mapping, kind=kind, progress=progress)
