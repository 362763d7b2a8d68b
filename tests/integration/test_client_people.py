"""People of one client of a tenant, below the API: the narrowed ports and quarantine."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from nextup.bootstrap import Platform, open_platform
from nextup.domain.errors import NotFound
from nextup.domain.events import START
from nextup.domain.items import Item
from nextup.domain.people import source_of
from nextup.ports.catalog import Catalog
from nextup.ports.event_log import EventLog
from nextup.ports.online_state import OnlineState
from nextup.ports.recommendation_store import RecommendationStore
from nextup.services.access import people
from nextup.services.access.people import ClientPeople
from nextup.services.quarantine import find_quarantined, readmit
from nextup.services.serving import Serving
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Methods that work on a whole tenant; a client's view has no such thing.
WHOLE = {"apply", "load_histories", "write", "switch", "drop", "commit"}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    settings = load_settings(tmp_path, access={"auth": "keys", "people": "client"})
    with open_platform(settings) as platform:
        yield platform


@pytest.mark.parametrize(
    ("port", "narrowed"),
    [
        (EventLog, people.ClientLog),
        (OnlineState, people.ClientState),
        (RecommendationStore, people.ClientLists),
        (Catalog, people.ClientCatalog),
    ],
)
def test_every_method_of_a_port_was_thought_of(port: type, narrowed: type) -> None:
    """One that a port gets is written in the client's view, or is the whole tenant's. None comes
    through by itself."""
    methods = {name for name, _ in inspect.getmembers(port, inspect.isfunction) if name[0] != "_"}
    missing = {name for name in methods if not hasattr(narrowed, name)}
    assert missing <= WHOLE
    assert not hasattr(narrowed, "__getattr__")


def test_a_readmitted_record_is_its_clients(platform: Platform) -> None:
    """It is judged under the person's own id, and counts for that client's person; twice
    re-admitted it counts once."""
    tenant = Serving(platform)
    views = {
        name: tenant.among(ClientPeople(platform, name), source=source_of(name))
        for name in ("one", "two")
    }
    record = {"type": "like", "user_id": "7", "item_id": "late", "event_id": "e"}
    rejected = [views[name].intake.take_many([record])[0] for name in views]
    assert rejected[0].rejected_id != rejected[1].rejected_id
    tenant.lake_writer.collect()
    for name, outcome in zip(views, rejected, strict=True):
        kept = find_quarantined(platform.lake, outcome.rejected_id)
        assert kept.source.startswith(f"client {name}, api")
        assert f'"{name}/7"' in kept.record

    platform.catalog.put_items([Item("late")])
    mine = [rejected[0].rejected_id]
    done = readmit(platform.lake, platform.event_log, tenant.contract, rejected_ids=mine)
    assert (done.readmitted, done.already_there) == (1, 0)
    (row,) = platform.event_log.read(START, 10).rows
    assert (row.user_id, row.event_id) == ("one/7", "one/e")
    tenant.updater.catch_up()
    assert [touch.item_id for touch in views["one"].ports.online_state.history("7")] == ["late"]
    assert views["two"].ports.online_state.history("7") == []
    assert views["two"].ports.event_log.read(START, 10).rows == []
    assert views["one"].ports.event_log.read(START, 10).rows[0].user_id == "7"
    assert views["one"].intake.take(record).event_id == "e"
    assert len(platform.event_log.read(START, 10).rows) == 1


def test_ids_are_judged_as_they_were_sent(tmp_path: Path) -> None:
    """Where ids must be integers, a client's person 7 is one, in quarantine too."""
    settings = load_settings(
        tmp_path, access={"auth": "keys", "people": "client"}, contracts={"id_type": "int"}
    )
    with open_platform(settings) as platform:
        tenant = Serving(platform)
        view = tenant.among(ClientPeople(platform, "one"), source=source_of("one"))
        outcome = view.intake.take({"type": "like", "user_id": "7", "item_id": "1"})
        assert outcome.rule == "unknown_item"
        tenant.lake_writer.collect()
        platform.catalog.put_items([Item("1")])
        done = readmit(platform.lake, platform.event_log, tenant.contract)
        assert (done.readmitted, dict(done.still_broken)) == (1, {})
        with pytest.raises(NotFound):
            find_quarantined(platform.lake, "nothing")
