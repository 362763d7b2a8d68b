"""A real platform on SQLite and local disk, with a small trained model, behind a real server."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import numpy as np

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import by_name as models
from nextup.bootstrap import Platform, open_platform
from nextup.domain.items import Item
from nextup.domain.operations import ModelRecord
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.services.artifacts import Artifact, save_artifact
from nextup.settings import BLEND, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILMS, BOOKS = 60, 40
TASTES = 4  # item i belongs to taste i % TASTES


def catalogue() -> list[Item]:
    """Films and books; a genre per taste."""
    return [
        Item(
            f"{'film' if n < FILMS else 'book'}-{n}",
            "film" if n < FILMS else "book",
            f"Title <{n}>",
            1900 + n,
            (f"taste{n % TASTES}", "all"),
        )
        for n in range(FILMS + BOOKS)
    ]


def train(platform: Platform, model_id: str, seed: int = 1) -> None:
    """Two hundred people who mostly keep to one taste; their model is put in service."""
    rng = np.random.default_rng(seed)
    ids = [item.item_id for item in catalogue()]
    people = np.repeat(np.arange(200), 8)
    tastes = np.where(rng.random(len(people)) < 0.9, people % TASTES, rng.integers(0, TASTES))
    items = rng.integers(0, len(ids) // TASTES, len(people)) * TASTES + tastes
    interactions = Interactions.from_pairs(people, items, n_users=200, n_items=len(ids))
    fitted = {
        name: models.component(name, **settings).fit(interactions, seed=seed)
        for name, settings in {
            "popularity": {},
            "als": {"factors": 8, "threads": 1},
            "item_item": {"neighbours": 20, "threads": 1},
        }.items()
    }
    created_at = datetime.now(UTC) - timedelta(hours=1)
    save_artifact(platform.files, Artifact(model_id, created_at, ids, fitted, {}, {}, BLEND))
    platform.control.save_model(ModelRecord(model_id, created_at, "als"))
    platform.control.set_current_model(model_id)


@contextmanager
def served(home: Path, **settings: object) -> Iterator[tuple[httpx.Client, Platform]]:
    """A client of a running server over a fresh platform with a catalogue."""
    with open_platform(load_settings(home, **settings)) as platform:
        platform.catalog.put_items(catalogue())
        with (
            ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
            httpx.Client(base_url=server.url, timeout=30) as client,
        ):
            yield client, platform
