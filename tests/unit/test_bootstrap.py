"""URLs choose adapters; they are opened when used and closed together."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.control.sql import SqlControl
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.online_state.memory import MemoryOnlineState
from nextup.adapters.online_state.sql import SqlOnlineState
from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore
from nextup.adapters.recommendation_store.sql import SqlRecommendationStore
from nextup.bootstrap import PORTS, open_platform
from nextup.domain.errors import BackendUnavailable, ConfigurationError
from nextup.domain.items import Item
from nextup.domain.tables import Table
from nextup.ports.files import SupportsLocalPath
from nextup.settings import load_settings

if TYPE_CHECKING:
    from nextup.bootstrap import Platform

ROOT = Path(__file__).parents[2]
SQL_PORTS = ("event_log", "catalog", "recommendation_store", "online_state", "control")
HEAVY = ("polars", "numpy", "scipy", "sqlalchemy", "fastapi", "deltalake", "narwhals", "rich")


@pytest.mark.parametrize(
    ("port", "url", "adapter"),
    [
        ("event_log", "sqlite:///x.db", SqlEventLog),
        ("catalog", "sqlite:///x.db", SqlCatalog),
        ("control", "sqlite:///x.db", SqlControl),
        ("recommendation_store", "sqlite:///x.db", SqlRecommendationStore),
        ("recommendation_store", "memory://", MemoryRecommendationStore),
        ("online_state", "sqlite:///x.db", SqlOnlineState),
        ("online_state", "memory://", MemoryOnlineState),
    ],
)
def test_the_scheme_chooses_the_adapter(tmp_path: Path, port: str, url: str, adapter: type) -> None:
    """Each scheme that a port answers to opens its own class."""
    with open_platform(load_settings(tmp_path, **{f"{port}_url": url})) as platform:
        assert type(getattr(platform, port)) is adapter


def test_every_port_opens_by_default(tmp_path: Path) -> None:
    """Without any setting all ports open, each once."""
    with open_platform(load_settings(tmp_path)) as platform:
        for port in PORTS:
            assert getattr(platform, port) is getattr(platform, port)


@pytest.mark.parametrize("port", PORTS)
def test_an_unknown_scheme_names_the_known_ones(tmp_path: Path, port: str) -> None:
    """A URL that nobody answers to is refused with the port, its scheme and what is known."""
    settings = load_settings(tmp_path, **{f"{port}_url": "carrier-pigeon://me:hunter2@roof"})
    with (
        open_platform(settings) as platform,
        pytest.raises(ConfigurationError, match=f"{port}_url: .*'carrier-pigeon://'") as caught,
    ):
        getattr(platform, port)
    assert re.search(r"Known: \w+://", caught.value.cure)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "sqlite", "me:hunter2@host/x", "//me:hunter2@host/x"])
def test_a_url_without_a_scheme_is_not_repeated(tmp_path: Path, url: str) -> None:
    """What is no URL may still be a secret: it is refused without being shown."""
    with (
        open_platform(load_settings(tmp_path, catalog_url=url)) as platform,
        pytest.raises(ConfigurationError, match=r"catalog_url: .*no scheme.*sqlite://") as caught,
    ):
        _ = platform.catalog
    assert "hunter2" not in str(caught.value)


def test_backends_are_opened_when_used(tmp_path: Path) -> None:
    """A wrong URL, or a disk that is not there, hurts only those who use that port."""
    settings = load_settings(
        tmp_path, event_log_url="carrier-pigeon://", lake_url="carrier-pigeon://"
    )
    with open_platform(settings) as platform:
        assert list(tmp_path.iterdir()) == []
        assert platform.catalog.count_items() == 0
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"catalog.db"}


def test_all_are_closed_in_reverse_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing goes backwards, closes each once, and goes on where one fails."""
    closed: list[str] = []
    for name, adapter in (("catalog", SqlCatalog), ("control", SqlControl)):
        monkeypatch.setattr(adapter, "close", _recording(adapter.close, name, closed))
    platform = open_platform(load_settings(tmp_path))
    _ = platform.catalog, platform.control
    platform.close()
    platform.close()
    assert closed == ["control", "catalog"]

    def fail(self: SqlControl) -> None:
        closed.append("failed")
        raise BackendUnavailable("Gone.")

    closed.clear()
    monkeypatch.setattr(SqlControl, "close", fail)
    with pytest.raises(BackendUnavailable, match="Gone"), open_platform(platform.settings) as other:
        _ = other.catalog, other.control
    assert closed == ["failed", "catalog"]


def _recording(close, name, closed):
    def record(self) -> None:
        closed.append(name)
        close(self)

    return record


def test_an_error_closes_the_platform(tmp_path: Path) -> None:
    """Leaving the block by an error closes what was open; using it then says so."""
    with suppress(KeyError), open_platform(load_settings(tmp_path)) as platform:
        catalog = platform.catalog
        raise KeyError
    with pytest.raises(BackendUnavailable, match="was closed"):
        catalog.count_items()


def tables_in(folder: Path) -> set[str]:
    names: set[str] = set()
    for file in folder.rglob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            names |= {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    return {name for name in names if not name.startswith("sqlite_")}


def use_everything(platform: Platform, item_id: str) -> None:
    for port in SQL_PORTS:
        getattr(platform, port)
    platform.catalog.put_items([Item(item_id)])
    with platform.files.create("note") as stream:
        stream.write(item_id.encode())
    rows = platform.lake.scan(Table.ITEM_STATS).collect()
    platform.lake.append(Table.ITEM_STATS, rows)


def test_a_tenants_names_begin_with_it(tmp_path: Path) -> None:
    """Every table, index and folder of a tenant carries its prefix, on every backend."""
    with open_platform(load_settings(tmp_path, tenant="shop")) as platform:
        use_everything(platform, "hammer")
        assert isinstance(platform.files, SupportsLocalPath)
        assert "shop_" in platform.files.local_path("note").parts
    names = tables_in(tmp_path)
    assert names
    assert [name for name in names if "shop_" not in name] == []
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".db"}
    assert written
    parts = {path: path.relative_to(tmp_path).parts for path in written}
    assert [path for path in written if not any(p.startswith("shop_") for p in parts[path])] == []


def test_tenants_share_backends_but_nothing_else(tmp_path: Path) -> None:
    """On the same URLs one tenant sees nothing of another, nor of the default one."""
    for tenant in ("default", "shop", "library"):
        with open_platform(load_settings(tmp_path, tenant=tenant)) as platform:
            assert platform.catalog.count_items() == 0
            assert platform.lake.status() == []
            assert "note" not in platform.files.list()
            use_everything(platform, f"{tenant}-item")
    with open_platform(load_settings(tmp_path, tenant="shop")) as platform:
        assert [item.item_id for item in platform.catalog.all_items()] == ["shop-item"]
        with platform.files.open("note") as stream:
            assert stream.read() == b"shop-item"


@pytest.mark.parametrize("port", SQL_PORTS)
def test_a_missing_extra_names_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    """Without the driver PostgreSQL is refused with the command that installs it, and the
    password stays unsaid."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql://me:hunter2@127.0.0.1/x"
    with (
        open_platform(load_settings(tmp_path, **{f"{port}_url": url})) as platform,
        pytest.raises(ConfigurationError) as caught,
    ):
        getattr(platform, port)
    assert "pip install 'nextup[postgresql]'" in caught.value.cure
    assert "hunter2" not in str(caught.value)


def test_every_extra_that_a_cure_names_exists() -> None:
    """Whatever `pip install 'nextup[...]'` the code recommends is in pyproject.toml."""
    sources = (file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    named = {name for text in sources for name in re.findall(r"nextup\[([\w-]+)\]", text)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert named
    assert named <= set(project["optional-dependencies"])


def test_importing_is_light() -> None:
    """The command line and bootstrap load no heavy library before one is used."""
    program = (
        "import sys, nextup.bootstrap, nextup.entrypoints.cli.app; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
