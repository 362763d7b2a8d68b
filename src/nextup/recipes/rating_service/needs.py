"""What must be there before anything can be done: servers, and the topics on one of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nextup.bootstrap import open_adapter
from nextup.recipes.options import options_of
from nextup.recipes.rating_service.options import Options
from nextup.services.doctor import examine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.recipes.parts import Needing
    from nextup.services.doctor import Finding

PUBLISHED: Final = "published"
SERVERS: Final = ("event_log", "files", "catalog", "recommendation_store", PUBLISHED)
"""Kafka with its topics, HDFS, MongoDB with films, Redis, and MongoDB with lists."""


def missing(needing: Needing) -> Sequence[Finding]:
    """Those that do not answer, with what is wrong and what to do. Topics that are absent are
    made."""
    found = [_look(needing, server) for server in SERVERS]
    return [one for one in found if not one.healthy]


def _look(needing: Needing, server: str) -> Finding:
    if server != PUBLISHED:
        url = str(getattr(needing.settings, f"{server}_url"))
        return examine(server, url, partial(getattr, needing, server))
    url = options_of(needing.settings, Options).published_url
    settings = needing.settings.model_copy(update={"recommendation_store_url": url})
    with ExitStack() as closing:

        def opened() -> Any:
            store = open_adapter("recommendation_store", settings)
            closing.callback(store.close)
            return store

        return replace(examine("recommendation_store", url, opened), port=PUBLISHED)
