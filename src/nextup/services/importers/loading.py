"""One import under way: items into the catalogue, events into the log, papers into the files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from nextup.domain.errors import InvalidInput
from nextup.domain.tables import EVENT_ID
from nextup.ports.catalog import ChecksItems
from nextup.services.contract_frames import RAW_COLUMNS, FrameContract
from nextup.services.contracts import EventContract
from nextup.services.event_schemas import Broken, quoted
from nextup.services.importers.report import IngestReport
from nextup.services.manifests import Manifest, ManifestFile, write_manifest, write_validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from nextup.domain.events import Event, Rejected
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.services.importers.rows import Damaged, Rows
    from nextup.services.importers.sources import FileFacts, Source
    from nextup.settings import Contracts

    Progress = Callable[[int, int], None]
    """Called as `progress(done, total)`, in rows of events."""

    Shape = Callable[[pl.DataFrame, pl.Series], pl.DataFrame]
    """From a file's columns and row numbers to RAW_COLUMNS; event ids are optional."""

    ItemShape = Callable[[Mapping[str, str]], Item]
    """From one row of an item file to an item; an id that cannot be one is refused later."""

_GOOD_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,500}")  # as in the event schemas
_REJECTED_AT_ONCE = 10_000

UNKNOWN_ITEMS: Final = "unknown_items"  # a setting of the contracts, and a manifest's decision


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an import goes, and by which rules."""

    log: EventLog
    catalog: Catalog
    files: Files
    contracts: Contracts
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a data set came from, when it was downloaded."""

    url: str | None = None
    downloaded_at: datetime | None = None


def nothing_to_tell(done: int, total: int) -> None:
    """The progress callback of somebody who does not look."""


class Loading:
    """Counts every row that it is given. `finish` checks the counts and writes the papers."""

    def __init__(
        self,
        into: Destination,
        source: Source,
        *,
        dataset: str,
        folder: str,
        item_kind: str = "item",
        origin: Origin | None = None,
        keep_files: bool = False,
        progress: Progress = nothing_to_tell,
    ) -> None:
        self.report = IngestReport(dataset)
        self._into = into
        self._source = source
        self._folder = folder
        self._keep_files = keep_files
        self._progress = progress
        self._total = 0
        self._item_kind = item_kind
        self._obey(into.contracts)
        origin = origin or Origin()
        at = origin.downloaded_at
        self.manifest = Manifest(
            dataset=dataset,
            url=origin.url,
            path=str(source.path),
            downloaded_at=None if at is None else at.isoformat(),
            imported_at=into.clock().isoformat(),
        )

    def decide_unknown_items(self, policy: Literal["quarantine", "create"]) -> None:
        """What happens to an event of an item that the catalogue lacks, for this import alone."""
        self.manifest.decisions[UNKNOWN_ITEMS] = policy
        self._obey(self._into.contracts.model_copy(update={UNKNOWN_ITEMS: policy}))

    def survey(
        self, name: str, *, events: bool = False, header: bool = True, source: Source | None = None
    ) -> FileFacts:
        """Measure and hash a file, keep a copy where asked, and enter it into the manifest.

        `source` is given for a file that lies elsewhere than the data set.
        """
        source = source or self._source
        if self._keep_files:
            with self._into.files.create(f"{self._folder}/{name.rsplit('/', 1)[-1]}") as copy:
                facts = source.survey(name, copy_to=copy.write)
        else:
            facts = source.survey(name)
        rows = max(0, facts.lines - header)
        self._total += rows if events else 0
        self.manifest.files.append(ManifestFile(facts.name, facts.bytes, rows, facts.sha256))
        return facts

    def begin(self) -> None:
        """Write the manifest as it stands, so that a rerun finds what was decided."""
        write_manifest(self._into.files, self._folder, self.manifest)
        self._progress(0, self._total)

    def items(self, facts: FileFacts, rows: Iterable[Rows], shape: ItemShape) -> None:
        """Put the file's items into the catalogue, in one transaction; those that it cannot hold
        are rejected."""
        rejected: list[Rejected] = []
        count = 0

        def good() -> Iterator[Item]:
            nonlocal count
            for chunk in rows:
                rejected.extend(self._damaged(facts, chunk.damaged))
                cells_of_rows = chunk.columns.iter_rows(named=True)
                for line, cells in zip(chunk.lines, cells_of_rows, strict=True):
                    item = shape(cells)
                    broken = self._broken(item)
                    if broken is None:
                        count += 1
                        yield item
                    else:
                        where = self._where(facts, line)
                        rejected.append(self._contract.reject(cells, broken, where))

        distinct = self._into.catalog.put_items(good())
        report = self.report
        report.items += distinct
        report.items_repeated += count - distinct
        report.item_rows += count + len(rejected)
        report.quarantine_items(rejected)
        self._reject(rejected)
        self._set_rows(facts, count + len(rejected))

    def events(self, facts: FileFacts, rows: Iterable[Rows], shape: Shape) -> None:
        """Append the file's events to the log, chunk by chunk; each is durable when counted."""
        before = self.report.rows
        prefix = pl.lit(f"{self.report.dataset}-{facts.digest}:")
        for chunk in rows:
            numbers = pl.Series("number", chunk.numbers, pl.Int64)
            frame = shape(chunk.columns, numbers)
            minted = prefix + numbers.cast(pl.String).str.zfill(10)
            given = pl.col(EVENT_ID) if EVENT_ID in frame.columns else pl.lit(None, pl.String)
            frame = frame.with_columns(pl.coalesce(given, minted).alias(EVENT_ID))
            events, rejected = self._frames.check(
                frame.select(RAW_COLUMNS),
                lambda row, at=chunk.lines: self._where(facts, at[row]),  # type: ignore[misc]
            )
            self._append(events)
            damaged = self._damaged(facts, chunk.damaged)
            self.report.quarantine([*damaged, *rejected])
            self._reject([*damaged, *rejected])
            self.report.rows += chunk.size
            self.report.blank_lines += chunk.blank_lines
            self._progress(min(self.report.rows, self._total), self._total)
        self._set_rows(facts, self.report.rows - before)

    def finish(self) -> IngestReport:
        """Check the counts, then write manifest and validation report."""
        self.report.check()
        self._progress(self._total, self._total)
        self.manifest.complete = True
        self.manifest.notes = list(self.report.notes)
        write_validation(self._into.files, self._folder, self.report.as_dict())
        write_manifest(self._into.files, self._folder, self.manifest)
        return self.report

    def _obey(self, contracts: Contracts) -> None:
        catalog, clock = self._into.catalog, self._into.clock
        self._contract = EventContract(contracts, catalog, clock, new_item_kind=self._item_kind)
        self._frames = FrameContract(self._contract, catalog.unknown_items)

    def _append(self, events: list[Event]) -> None:
        if events:
            receipts = self._into.log.append(events)
            duplicates = sum(receipt.duplicate for receipt in receipts)
            self.report.duplicates += duplicates
            self.report.accepted += len(receipts) - duplicates

    def _reject(self, rejected: Sequence[Rejected]) -> None:
        for start in range(0, len(rejected), _REJECTED_AT_ONCE):
            new = self._into.log.reject(rejected[start : start + _REJECTED_AT_ONCE])
            self.report.newly_quarantined += new

    def _damaged(self, facts: FileFacts, damaged: Iterable[Damaged]) -> list[Rejected]:
        return [
            self._contract.reject(
                one.raw, Broken(one.rule, one.reason), self._where(facts, one.line)
            )
            for one in damaged
        ]

    def _broken(self, item: Item) -> Broken | None:
        if not _GOOD_ID.fullmatch(item.item_id):
            return Broken("bad_item", f"{quoted(item.item_id)} cannot be an item's id.")
        catalog = self._into.catalog
        if isinstance(catalog, ChecksItems):
            try:
                catalog.check_item(item)
            except InvalidInput as error:
                return Broken("bad_item", error.message)
        return None

    def _where(self, facts: FileFacts, line: int) -> str:
        return f"{self.report.dataset}-{facts.digest}/{facts.name}:{line}"

    def _set_rows(self, facts: FileFacts, rows: int) -> None:
        for file in self.manifest.files:
            if file.sha256 == facts.sha256 and file.name == facts.name:
                file.rows = rows
