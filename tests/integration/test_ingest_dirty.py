"""A deliberately dirty file: every row is accounted for, and the good ones get through."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.engine.local import LocalEngine
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.files.local import LocalFiles
from nextup.adapters.lake.delta import DeltaLake
from nextup.adapters.sql import open_database
from nextup.domain.events import START
from nextup.domain.items import Item
from nextup.services.collect import collect
from nextup.services.contracts import EventContract
from nextup.services.ingest import Destination, TableOptions, ingest_table
from nextup.services.quarantine import count_by_rule, count_waiting, list_quarantine, readmit
from nextup.services.validate import validate_events, validate_lake
from nextup.settings import Contracts

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DIRTY = Path(__file__).parents[1] / "data" / "dirty.csv"
MAPPING = {"user": "user", "item": "item", "value": "stars", "time": "when", "event_id": "id"}
BROKEN = Counter(
    {
        "schema": 7,  # five, no value, no user, no time, no readable time, a line end, nan
        "bad_row": 3,  # an open quote, a column too few, a column too many
        "too_old": 2,
        "unknown_item": 1,
        "in_future": 1,
        "rating_out_of_range": 1,
        "bad_encoding": 1,
    }
)


@pytest.fixture
def into(tmp_path):
    log = SqlEventLog(open_database("sqlite:///events.db", tmp_path))
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    catalog.put_items([Item(name, "book") for name in ("b1", "b2", "b3")])
    files = LocalFiles(tmp_path / "files")
    yield Destination(log, catalog, files, Contracts(), lambda: NOW)
    log.close()
    catalog.close()


def ingest(into, path=DIRTY, **options):
    return ingest_table(path, into, TableOptions(MAPPING, kind="book", **options))


def test_the_numbers_add_up(into):
    """Rows in = accepted + duplicates + quarantined by rule, each known beforehand."""
    report = ingest(into)
    assert report.quarantined == BROKEN
    assert (report.rows, report.accepted, report.duplicates) == (23, 6, 1)
    assert report.rows == 6 + 1 + BROKEN.total()
    assert report.blank_lines == 2
    assert report.newly_quarantined == BROKEN.total()
    rejected = into.log.read_rejected(START, 100).rows
    assert Counter(row.rule for row in rejected) == BROKEN


def test_good_rows_arrive_as_they_are(into):
    """Quotes, commas, letters beyond ASCII and times of every spelling are read right."""
    ingest(into)
    events = {row.event_id: row.event() for row in into.log.read(START, 100).rows}
    assert events["e11"].user_id == "zoë"
    assert events["e12"].user_id == 'smith, "joe"'
    assert events["e2"].occurred_at == datetime(2024, 1, 5, 11, tzinfo=UTC)
    (minted,) = (one for one in events if one.startswith("dirty-"))
    assert minted.endswith(":0000000020")  # the row's number, blank lines not counted
    assert events[minted].occurred_at == datetime(2024, 1, 6, 22, tzinfo=UTC)


def test_rejections_name_their_line(into):
    """What is quarantined is kept whole, under the line where it begins."""
    ingest(into)
    rejected = into.log.read_rejected(START, 100).rows
    lines = {int(row.source.rpartition(":")[2]): row for row in rejected}
    raw = DIRTY.read_bytes().split(b"\r\n")
    assert b"\\xff" in lines[13].record.encode()
    assert b"\xff" in raw[12]
    assert lines[16].record == raw[15].decode()
    assert '"five"' in lines[6].record
    assert all("dirty-" in row.source and "/dirty.csv:" in row.source for row in rejected)


def test_again_changes_nothing(into, tmp_path):
    """A rerun adds no event and no rejection, also from a copy in another folder."""
    ingest(into)
    before = (into.log.head(), into.log.read_rejected(START, 100))
    (tmp_path / "copy").mkdir()
    copy = shutil.copy(DIRTY, tmp_path / "copy")
    report = ingest(into, Path(copy))
    assert (report.accepted, report.duplicates, report.newly_quarantined) == (0, 7, 0)
    assert (into.log.head(), into.log.read_rejected(START, 100)) == before


def test_interrupted_import_decides_alike(into, tmp_path):
    """A first import that created items goes on creating them when it is run again."""
    file = tmp_path / "plain.csv"
    file.write_text("user,item\n" + "".join(f"u{n},new{n}\n" for n in range(50)))
    options = TableOptions({"user": "user", "item": "item"}, kind="song")

    def kill(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_table(file, into, options, progress=kill)
    into.catalog.delete_item("new49")
    report = ingest_table(file, into, options)
    assert (report.rows, report.duplicates, report.quarantined.total()) == (50, 50, 0)
    assert into.catalog.item("new49").kind == "song"
    assert "created" in report.notes[0]


def test_quarantine_is_readmitted_once_it_is_valid(into, tmp_path):
    """After a fix the records that became valid count, once; the others stay."""
    lake = DeltaLake(str(tmp_path / "lake"))
    engine = LocalEngine(lake)
    ingest(into)
    contract = EventContract(into.contracts, into.catalog, into.clock)
    assert count_waiting(into.log, lake) == BROKEN.total()
    collect(into.log, engine, batch_rows=1000)
    assert count_waiting(into.log, lake) == 0
    assert Counter(count_by_rule(lake)) == BROKEN
    page = list_quarantine(lake, rule="schema", limit=5, start=5)
    assert (len(page.rows), page.total) == (2, 7)
    assert readmit(lake, into.log, contract).readmitted == 0
    into.catalog.put_items([Item("b99", "book")])
    first = readmit(lake, into.log, contract, rule="unknown_item")
    assert (first.looked_at, first.readmitted, first.already_there) == (1, 1, 0)
    assert into.log.read(START, 100).rows[-1].event_id == "e5"
    again = readmit(lake, into.log, contract)
    assert (again.looked_at, again.readmitted) == (BROKEN.total() - 1, 0)
    (row,) = list_quarantine(lake, rule="unknown_item", readmitted=True).rows
    assert row.readmitted_at == NOW
    assert list_quarantine(lake, rule="unknown_item").total == 0
    checks = {check.table.value: check for check in validate_lake(engine, lake, into.clock)}
    assert checks["bronze.quarantine"].rows == BROKEN.total()
    engine.close()
    lake.close()


def test_validate_changes_nothing(into, tmp_path):
    """Explaining a file of events names every bad line, and neither log nor catalogue change."""
    file = tmp_path / "events.jsonl"
    good = b'{"type": "view", "user_id": "u", "item_id": "b1", "event_id": "e"}\n'
    file.write_bytes(good * 2 + b"\n{oops\n\xff\n" + good.replace(b"b1", b"b9"))
    contracts = Contracts(unknown_items="create")
    contract = EventContract(contracts, into.catalog, into.clock)
    with file.open("rb") as stream:
        check = validate_events(stream, contract)
    assert (check.rows, check.good, check.repeated) == (5, 3, 2)
    assert [(fault.line, fault.rule) for fault in check.faults] == [
        (4, "not_json"),
        (5, "bad_encoding"),
    ]
    assert into.catalog.item("b9") is None
    assert into.log.head() == START
