"""The vectors of those who send a history, kept as soon as they were served."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi.concurrency import run_in_threadpool

from nextup.domain.errors import BackendUnavailable
from nextup.domain.people import DIVIDER
from nextup.recipes.options import options_of
from nextup.recipes.platform_api.options import Options
from nextup.recipes.platform_api.tables import PlatformTables
from nextup.recipes.platform_api.vectors import Folding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nextup.services.serving import Serving
    from nextup.settings import Settings

log = logging.getLogger(__name__)


class Portraits:
    """Keeps the vectors of those who send a history, where the platform has the recipe's tables:
    on a laptop's SQLite it has not. Opened with the server, and closed with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables: PlatformTables | None = None

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """As long as the server runs."""
        if urlsplit(self._settings.event_log_url).scheme.startswith("postgresql"):
            options = options_of(self._settings, Options)
            self._tables = PlatformTables.of(self._settings, options)
            try:
                await run_in_threadpool(self._tables.prepare)
            except BackendUnavailable as error:  # the server starts without, as ever
                log.warning("The recipe's tables were not looked at: %s", error)
        try:
            yield
        finally:
            if self._tables is not None:
                self._tables.close()

    def draw(self, serving: Serving, user_id: str) -> None:
        """The person as the model sees them now. What does not come through is made up for by
        `train-model`."""
        if self._tables is None:
            return
        client_id, _, _ = serving.stored_id(user_id).partition(DIVIDER)
        touches = serving.ports.online_state.history(user_id)
        folding = Folding(serving.recommender.model(), self._settings)
        folded = folding.fold(client_id, user_id, touches)
        try:
            self._tables.prepare()
            self._tables.put_vectors([folded] if folded else [])
        except BackendUnavailable as error:
            log.warning("A vector was not kept: %s", error)
