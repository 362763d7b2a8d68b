"""What happens where a backend's driver is not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from nextup.bootstrap import open_adapter
from nextup.domain.errors import ConfigurationError
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("port", "url", "module", "extra"),
    [
        ("recommendation_store", "cassandra://node/reco", "cassandra", "cassandra"),
        ("recommendation_store", "mongodb://node/reco", "pymongo", "mongodb"),
        ("catalog", "mongodb://node/reco", "pymongo", "mongodb"),
        ("tracker", "mlflow://", "mlflow", "mlflow"),
    ],
)
def test_a_missing_driver_names_its_extra(
    port: str, url: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install; nothing of the driver is needed to say so."""
    for name in list(sys.modules):
        ours = name.startswith(("nextup.adapters.cassandra", "nextup.adapters.mongo"))
        if ours or name.partition(".")[0] == module:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    settings = load_settings(tmp_path, **{f"{port}_url": url})
    with pytest.raises(ConfigurationError) as caught:
        open_adapter(port, settings)
    assert f"pip install 'nextup[{extra}]'" in caught.value.cure


@pytest.mark.parametrize(
    "url", ["mongodb://", "mongodb://u:s3cret@", "mongodb://u:s3cret@node", "mongodb://a:b:c/d"]
)
def test_a_mongodb_url_that_cannot_be_read(url: str, tmp_path: Path) -> None:
    """The error says how to write one, and does not repeat what may hold a password."""
    settings = load_settings(tmp_path, catalog_url=url)
    with pytest.raises(ConfigurationError) as caught:
        open_adapter("catalog", settings)
    assert "s3cret" not in str(caught.value)
    assert "host:27017/database" in caught.value.cure
