"""Lists that follow what people do: made anew with the model in service, and put in the place of
the old ones, person by person."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Final

from nextup.domain.errors import BackendUnavailable, ConfigurationError, InvalidInput
from nextup.domain.recommendations import PublishedList, Scored
from nextup.ports.recommendation_store import ReplacesByPerson
from nextup.services.recommend import Recommender
from nextup.services.recommending.levels import STATE
from nextup.services.recommending.request import Request
from nextup.services.stream import ModelWatcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.serving import ServingPorts

log = logging.getLogger(__name__)

LISTS_AT_ONCE: Final = 200


def require_upserts(store: RecommendationStore) -> ReplacesByPerson:
    """Raises ConfigurationError for a store whose lists change all at once."""
    if not isinstance(store, ReplacesByPerson):
        raise ConfigurationError(
            "This recommendation store changes whole generations, not one person's list.",
            cure='Set cassandra.layout = "rows", redis.layout = "list" or mongodb.layout = '
            '"documents".',
        )
    return store


class FreshLists:
    """Makes lists of the configured depth, from histories as the online state has them."""

    def __init__(self, ports: ServingPorts) -> None:
        self._store = require_upserts(ports.recommendation_store)
        self._watcher = ModelWatcher(ports.control, ports.files, ports.catalog)
        self._depth = ports.settings.recommend.published_depth
        self._recommender = Recommender(
            state=ports.online_state,
            lists=ports.recommendation_store,
            catalog=ports.catalog,
            model=self._watcher.current,
            settings=ports.settings,
        )

    def write(self, user_ids: Iterable[str]) -> dict[str, int]:
        """Replace these people's lists, with the model that is in service now. A person whose id
        the store cannot hold is counted and left out. Raises BackendUnavailable where histories
        cannot be read: a list without them would be worse than the old one."""
        self._watcher.refresh()
        counted = {"lists": 0, "refused": 0}
        rest = iter(user_ids)
        while some := list(islice(rest, LISTS_AT_ONCE)):
            written = self._put([self._list(user_id) for user_id in some])
            counted["lists"] += written
            counted["refused"] += len(some) - written
        return counted

    def _list(self, user_id: str) -> PublishedList:
        ranked = self._recommender.rank(Request(user_id, limit=self._depth, explain=False))
        if STATE in ranked.missing:
            raise BackendUnavailable("The online state does not answer.")
        places = ranked.items[: self._depth]
        return PublishedList(
            user_id, tuple(Scored(each.item_id, each.score, each.source) for each in places)
        )

    def _put(self, lists: list[PublishedList]) -> int:
        try:
            return self._store.put(lists)
        except InvalidInput:
            return sum(self._put_alone(lists))

    def _put_alone(self, lists: list[PublishedList]) -> Iterator[int]:
        for each in lists:
            try:
                yield self._store.put([each])
            except InvalidInput as error:
                log.warning("No list is kept for one person: %s", error)
                yield 0
