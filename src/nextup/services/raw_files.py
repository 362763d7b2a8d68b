"""MovieLens' own files in bronze, as their publisher made them, with a manifest that proves it.

Each file is there whole or not at all, and the manifest says which are: what was killed goes on
with the next one. A manifest that is complete means that there is nothing to do.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from nextup.domain.errors import InvalidInput
from nextup.services.downloads import download
from nextup.services.importers import movielens
from nextup.services.importers.loading import Origin
from nextup.services.importers.sources import Source, StoredSource
from nextup.services.ingest import EDITIONS, PUBLISHER
from nextup.services.manifests import (
    Manifest,
    ManifestFile,
    read_manifest,
    slug,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nextup.ports.files import Files
    from nextup.services.importers.loading import Destination
    from nextup.services.importers.report import IngestReport

    Progress = Callable[[int, int], None]
    """Called as `progress(done, total)`, in bytes; `total` is 0 where nobody knows."""

FOLDER: Final = "bronze/movielens"
PAPERS: Final = "_ingest"  # beside the files: the manifest and the report of taking them in
REQUIRED: Final = {
    "ratings.csv": "userId,movieId,rating,timestamp",
    "movies.csv": "movieId,title,genres",
    "tags.csv": "userId,movieId,tag,timestamp",
    "links.csv": "movieId,imdbId,tmdbId",
}
"""The files that must be there, and how each begins."""
OPTIONAL: Final = {
    "genome-scores.csv": "movieId,tagId,relevance",
    "genome-tags.csv": "tagId,tag",
}
_MIRRORS: Final = {  # what some mirrors call them
    "ratings.csv": "rating.csv",
    "movies.csv": "movie.csv",
    "tags.csv": "tag.csv",
    "links.csv": "link.csv",
    "genome-scores.csv": "genome_scores.csv",
    "genome-tags.csv": "genome_tags.csv",
}
_HEADS: Final = REQUIRED | OPTIONAL


class Brought(NamedTuple):
    """What is in bronze now, and how many of its files were written just now."""

    folder: str
    manifest: Manifest
    written: int


class Fault(NamedTuple):
    """What is wrong with a file in bronze."""

    file: str
    says: str


def folder_of(dataset: str) -> str:
    """Where the data set's files are. Raises InvalidInput for a name that is no folder's."""
    if not dataset or slug(dataset) != dataset:
        raise InvalidInput(
            f"'{dataset}' cannot name a data set.", cure="Use small letters, digits and dashes."
        )
    return f"{FOLDER}/{dataset}"


def place_of(source: str, home: Path) -> str:
    """A path counts from the folder of the settings; a URL and nothing stay as they are."""
    return source if not source or "://" in source else str(home / source)


def bring_in(
    files: Files,
    dataset: str,
    source: str = "",
    *,
    downloads: Path,
    force: bool = False,
    clock: Callable[[], datetime],
    progress: Progress = lambda done, total: None,
    download_progress: Progress = lambda done, total: None,
) -> Brought:
    """Put the data set's files into bronze, from a URL, a zip file or a folder; without a source
    from the publisher. With `force` all are fetched and written anew.

    Raises what `download` raises, and InvalidInput, with nothing written, for a source that lacks
    a file or has one that is not what its name says.
    """
    folder = folder_of(dataset)
    before = None if force else read_manifest(files, folder)
    if before is not None and before.complete and not _absent(files, folder, before):
        return Brought(folder, before, 0)
    url, place, fetched_at = _at_hand(dataset, source, downloads, force, download_progress)
    archive = Source(place)
    names = dict(_names_in(archive, dataset))
    manifest = Manifest(
        dataset=dataset,
        url=url,
        path=str(place),
        downloaded_at=(fetched_at or clock()).isoformat(),
        imported_at=clock().isoformat(),
    )
    known = _still_there(files, folder, before, manifest)
    written = 0
    for number, (name, inside) in enumerate(names.items()):
        progress(number, len(names))
        if name not in known:
            with files.create(f"{folder}/{name}") as copy:
                facts = archive.survey(inside, copy_to=copy.write)
            known[name] = ManifestFile(name, facts.bytes, max(0, facts.lines - 1), facts.sha256)
            written += 1
        manifest.files.append(known[name])
        write_manifest(files, folder, manifest)
    manifest.complete = True
    write_manifest(files, folder, manifest)
    progress(len(names), len(names))
    return Brought(folder, manifest, written)


def check_raw(files: Files, dataset: str) -> list[Fault]:
    """Every fault of the data set's files: missing, shortened, changed, or something else."""
    folder = folder_of(dataset)
    present = {name for name in files.list(folder) if not name.endswith("/")}
    faults = [Fault(name, "is missing") for name in REQUIRED if name not in present]
    manifest = read_manifest(files, folder)
    if manifest is None:
        return [*faults, Fault("_manifest.json", "is missing, or cannot be read")]
    if not manifest.complete:
        faults.append(Fault("_manifest.json", "says that the files are not all there yet"))
    named = {one.name: one for one in manifest.files}
    faults += [
        Fault(name, "is not in the manifest") for name in _HEADS if name in present - named.keys()
    ]
    source = StoredSource(files, folder)
    for name, told in named.items():
        if name in present:
            faults += [Fault(name, says) for says in _differences(source, told)]
        elif name not in REQUIRED:
            faults.append(Fault(name, "is missing"))
    return faults


def raw_source(files: Files, dataset: str) -> tuple[StoredSource, Manifest]:
    """The data set's files, to be read, and their manifest. Raises InvalidInput where they are
    not there."""
    folder = folder_of(dataset)
    manifest = read_manifest(files, folder)
    if manifest is None or not manifest.complete or _absent(files, folder, manifest):
        raise InvalidInput(
            f"{folder} does not hold the whole data set.",
            cure="`nextup bronze fetch` brings it in; `nextup bronze validate` says what is wrong.",
        )
    return StoredSource(files, folder), manifest


def ingest_raw(
    into: Destination, dataset: str, *, progress: Progress = lambda done, total: None
) -> IngestReport | None:
    """The data set's films into the catalogue and its ratings into the log; None where these very
    files have been taken in already."""
    source, manifest = raw_source(into.files, dataset)
    papers = f"{source.path}/{PAPERS}"
    before = read_manifest(into.files, papers)
    told = {one.name: one.sha256 for one in manifest.files}
    if before is not None and before.complete and _is_part(before, told):
        return None
    at = datetime.fromisoformat(manifest.downloaded_at) if manifest.downloaded_at else None
    origin = Origin(manifest.url, at)
    return movielens.ingest(source, into, origin=origin, papers=papers, progress=progress)


def _is_part(manifest: Manifest, told: Mapping[str, str]) -> bool:
    return all(told.get(one.name) == one.sha256 for one in manifest.files)


def _at_hand(
    dataset: str, source: str, downloads: Path, force: bool, progress: Progress
) -> tuple[str | None, Path, datetime | None]:
    """URL, path and time of fetching, where it had to be fetched."""
    if source and not source.startswith(("http://", "https://")):
        return None, Path(source), None
    if not source and dataset.removeprefix("ml-") not in EDITIONS:
        raise InvalidInput(
            f"'{dataset}' is no edition of MovieLens, and no source is given.",
            cure=f"Give --from with a URL, a zip file or a folder; or one of "
            f"{', '.join(f'ml-{name}' for name in EDITIONS)}.",
        )
    url = source or f"{PUBLISHER}/{dataset}.zip"
    name = url.rsplit("/", 1)[-1]
    if force:
        (downloads / name).unlink(missing_ok=True)
        (downloads / f"{name}.part").unlink(missing_ok=True)
    cure = f"Fetch it elsewhere, then: nextup bronze fetch {dataset} --from <path to {name}>"
    fetched = download(url, downloads, cure=cure, progress=progress)
    return url, fetched.path, fetched.downloaded_at


def _names_in(archive: Source, dataset: str) -> Iterator[tuple[str, str]]:
    """Of each file its name in bronze, and that in the archive; all are what they should be."""
    for name, head in _HEADS.items():
        wanted = (name, _MIRRORS[name])
        inside = archive.need(*wanted) if name in REQUIRED else archive.find(*wanted)
        if inside is None:
            continue
        with archive.open(inside) as stream:
            found = _head(stream.readline())
        if found != head:
            raise InvalidInput(
                f"{name} of {dataset} begins with {found[:80]!r}, not with {head!r}.",
                cure="Give the archive as the publisher made it: 20M, 25M, 32M or latest-small.",
            )
        yield name, inside


def _head(line: bytes) -> str:
    """A header without its quotes and line end."""
    return line.decode("utf-8-sig", "backslashreplace").strip().replace('"', "")


def _still_there(
    files: Files, folder: str, before: Manifest | None, now: Manifest
) -> dict[str, ManifestFile]:
    """The files of an interrupted attempt at the same source, by name; each appeared when it was
    whole."""
    if before is None or (before.url, before.path) != (now.url, now.path):
        return {}
    gone = set(_absent(files, folder, before))
    return {one.name: one for one in before.files if one.name not in gone}


def _absent(files: Files, folder: str, manifest: Manifest) -> Sequence[str]:
    """What the manifest names and is not there, or of another size."""
    present = set(files.list(folder))
    return [
        one.name
        for one in manifest.files
        if one.name not in present or files.size(f"{folder}/{one.name}") != one.bytes
    ]


def _differences(source: StoredSource, told: ManifestFile) -> Iterator[str]:
    facts = source.survey(told.name)
    if facts.bytes != told.bytes:
        yield f"has {facts.bytes:,} bytes, not {told.bytes:,}"
    elif facts.sha256 != told.sha256:
        yield "was changed: its SHA-256 is not the manifest's"
    head = _HEADS.get(told.name)
    with source.open(told.name) as stream:
        if head is not None and _head(stream.readline()) != head:
            yield f"does not begin with {head!r}"
