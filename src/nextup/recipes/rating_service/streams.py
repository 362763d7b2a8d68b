"""What `nextup stream` does for this recipe beside its usual work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nextup.domain.errors import ConfigurationError
from nextup.ports.topics import SupportsTopics
from nextup.recipes.options import options_of
from nextup.recipes.rating_service.lists_topic import ListsFromTopic
from nextup.recipes.rating_service.options import Options
from nextup.recipes.rating_service.ratings_file import RatingsFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextup.bootstrap import Platform
    from nextup.services.shares import Share

LEFT_OUT: Final = frozenset({"lake"})  # silver is made of the ratings file, not of bronze


def make_shares(platform: Platform) -> Mapping[str, Callable[[], Share]]:
    """By name, what makes each: the ratings file's writer, and the lists' way to Redis."""
    options = options_of(platform.settings, Options)

    def ratings_file() -> Share:
        return RatingsFile(
            platform.event_log,
            platform.files,
            platform.control,
            file=options.ratings_file,
            rows=options.ratings_rows,
            every_seconds=options.ratings_seconds,
        )

    def lists() -> Share:
        log = platform.event_log
        if not isinstance(log, SupportsTopics):
            raise ConfigurationError(
                "This event log has no topics.",
                cure="Set event_log_url to kafka://host:9092/events.",
            )
        member = log.join_topics(options.lists_group, [options.lists_topic])
        return ListsFromTopic(member, log, platform.recommendation_store)

    return {RatingsFile.name: ratings_file, ListsFromTopic.name: lists}
