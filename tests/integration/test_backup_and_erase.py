"""Everything can be copied, put back, and forgotten."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nextup.bootstrap import Platform, open_platform
from nextup.domain import tables as t
from nextup.domain.errors import Conflict, CorruptData, InvalidInput
from nextup.domain.events import START, Event
from nextup.domain.tables import Table
from nextup.services.backup import ORDER, backup, restore
from nextup.services.collect import SOURCE
from nextup.services.erase import PERSONAL, Receipt, erase
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

PERSON = "horror-fan"


def ports(platform: Platform) -> dict[str, object]:
    return {name: getattr(platform, name) for name in ORDER}


def facts(platform: Platform) -> dict[str, object]:
    """What must be equal in two platforms that hold the same."""
    return {
        "events": platform.event_log.read(START, 1_000_000).rows,
        "items": list(platform.catalog.all_items()),
        "tables": {
            one.table: platform.lake.content_hash(one.table) for one in platform.lake.status()
        },
        "models": platform.control.models(),
        "current": platform.control.current_model(),
        "list": platform.recommendation_store.read(PERSON),
        "history": platform.online_state.history(PERSON),
        "files": platform.files.list("models"),
    }


def test_a_restored_platform_is_the_one_that_was_copied(built: Platform, tmp_path: Path) -> None:
    """A backup put into an empty folder gives the same events, tables, models and lists."""
    archive = tmp_path / "all.tar"
    done = backup(ports(built), archive)
    assert set(done.ports) == set(ORDER)
    assert done.skipped == ()
    with open_platform(load_settings(tmp_path / "elsewhere")) as other:
        restore(ports(other), archive)
        assert facts(other) == facts(built)


def test_a_restore_replaces_what_came_after(built: Platform, tmp_path: Path) -> None:
    """Restoring into the same platform takes back what was done since the backup."""
    archive = tmp_path / "all.tar"
    before = facts(built)
    backup(ports(built), archive)
    moment = datetime(2026, 4, 1, tzinfo=UTC)
    built.event_log.append([Event("after", "like", PERSON, "book:dune-1965", moment)])
    built.control.set_current_model(None)
    assert facts(built) != before
    restore(ports(built), archive)
    assert facts(built) == before


def test_a_damaged_backup_changes_nothing(built: Platform, tmp_path: Path) -> None:
    """One flipped byte anywhere in the content is found before anything is replaced."""
    archive = tmp_path / "all.tar"
    backup(ports(built), archive)
    with tarfile.open(archive) as tar:
        place = next(member.offset_data for member in tar if member.name.endswith(".parquet"))
    content = bytearray(archive.read_bytes())
    content[place] ^= 0xFF
    archive.write_bytes(content)
    before = facts(built)
    with pytest.raises(CorruptData, match="damaged; nothing was changed"):
        restore(ports(built), archive)
    assert facts(built) == before


@pytest.mark.filterwarnings("ignore:Python 3.14:DeprecationWarning")
def test_a_python_without_filters(
    built: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python before 3.11.4, which Debian 12 has, restores too; and no file outside is written."""
    monkeypatch.delattr(tarfile, "data_filter")
    archive = tmp_path / "all.tar"
    backup(ports(built), archive)
    with open_platform(load_settings(tmp_path / "elsewhere")) as other:
        restore(ports(other), archive)
        assert facts(other) == facts(built)
    with tarfile.open(archive, "a") as tar:
        tar.add(__file__, arcname="../outside")
    with pytest.raises(CorruptData, match="outside' does not belong"):
        restore(ports(built), archive)


def test_a_truncated_backup_changes_nothing(built: Platform, tmp_path: Path) -> None:
    """Half an archive is refused like a damaged one; no archive at all is the caller's mistake."""
    archive = tmp_path / "all.tar"
    backup(ports(built), archive)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(CorruptData, match="nothing was changed"):
        restore(ports(built), archive)
    with pytest.raises(InvalidInput, match="no file"):
        restore(ports(built), tmp_path / "nowhere.tar")


def test_a_backup_never_overwrites(built: Platform, tmp_path: Path) -> None:
    """An existing archive is left alone, and no leftovers stay beside it."""
    archive = tmp_path / "to" / "all.tar"
    backup(ports(built), archive)
    with pytest.raises(Conflict, match="exists already"):
        backup(ports(built), archive)
    assert [file.name for file in archive.parent.iterdir()] == ["all.tar"]


def forget(platform: Platform, user_id: str, keep: timedelta = timedelta(days=30)) -> Receipt:
    return erase(
        user_id,
        event_log=platform.event_log,
        online_state=platform.online_state,
        recommendation_store=platform.recommendation_store,
        lake=platform.lake,
        catalog=platform.catalog,
        control=platform.control,
        files=platform.files,
        keep=keep,
    )


def traces(platform: Platform, user_id: str) -> int:
    """How many records anywhere name the person."""
    rows = platform.event_log.read(START, 1_000_000).rows
    in_lake = sum(
        (platform.lake.scan(table).collect()[t.USER_ID] == user_id).sum() for table in PERSONAL
    )
    listed = platform.recommendation_store.read(user_id) is not None
    events = sum(row.user_id == user_id for row in rows)
    return events + in_lake + listed + len(platform.online_state.history(user_id))


def test_nothing_is_left_of_an_erased_person(built: Platform) -> None:
    """Log, lake, lists and state forget the person, the others stay, and the receipt adds up."""
    others = traces(built, "sci-fi-fan")
    assert traces(built, PERSON) > 0
    receipt = forget(built, PERSON)
    assert traces(built, PERSON) == 0
    assert traces(built, "sci-fi-fan") == others > 0
    assert receipt.removed["event_log"] == receipt.removed[Table.INTERACTIONS] > 0
    with built.files.open(f"receipts/{receipt.receipt_id}.json") as stream:
        assert PERSON.encode() not in stream.read()


def test_erased_people_do_not_come_back_by_replay(built: Platform) -> None:
    """Collecting and refining again does not bring the person's events back into the lake."""
    forget(built, PERSON)
    position = built.lake.position(Table.EVENTS, SOURCE)
    assert position == built.event_log.head()
    assert traces(built, PERSON) == 0


def test_old_versions_can_be_removed_at_once(built: Platform) -> None:
    """With nothing kept, no file of the lake holds the person's name any more."""
    forget(built, PERSON, keep=timedelta(0))
    root = built.settings.home / "data" / "lake"
    holding = [file for file in root.rglob("*.parquet") if PERSON.encode() in file.read_bytes()]
    assert holding == []


def test_erasing_somebody_unknown_gives_zeros(built: Platform) -> None:
    """A person without traces gets a receipt of zeros; an empty id is refused."""
    assert set(forget(built, "nobody").removed.values()) == {0}
    with pytest.raises(InvalidInput, match="Whom to erase"):
        forget(built, "")
