"""What every backend does alike: how a list is kept, and how a wrong call is answered.

A list is JSON that a person can read in the database: `[["item", 0.93, "factors"], ...]`.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from nextup.domain.errors import Conflict, CorruptData, InvalidInput, NotFound
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ListPacker:
    """Turns lists into JSON and back, exactly."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(tuple[Scored, ...])

    def pack(self, published: PublishedList) -> str:
        """The items as JSON. Raises InvalidInput for what JSON cannot say: a score that is not
        a finite number, an id that is not text."""
        try:
            published.user_id.encode()
            packed = self._encoder.encode(published.items).decode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"The list of {published.user_id!r} has an unusable id.") from error
        if "null" in packed:  # how JSON writes NaN and infinity; an item may be called so too
            _refuse_unranked(published)
        return packed

    def batches(self, lists: Iterable[PublishedList], size: int) -> Iterator[list[tuple[str, str]]]:
        """People with their packed lists, so many at a time.

        Each is packed as it comes: a list that waits is a hundred objects, and Python's collector
        looks through all that wait, again and again.
        """
        packed = ((each.user_id, self.pack(each)) for each in lists)
        while batch := list(islice(packed, size)):
            yield batch

    def unpack(self, user_id: str, packed: str | bytes) -> PublishedList:
        """The inverse of `pack`. Raises CorruptData for anything else."""
        try:
            return PublishedList(user_id, self._decoder.decode(packed))
        except msgspec.DecodeError as error:
            raise CorruptData(
                f"The stored list of {user_id!r} is damaged.",
                cure="Publish again, or roll back to another generation.",
            ) from error


def _refuse_unranked(published: PublishedList) -> None:
    """Raise InvalidInput for a list with a score that is not a finite number."""
    for item in published.items:
        if not math.isfinite(item.score):
            raise InvalidInput(
                f"The list of {published.user_id!r} gives {item.item_id!r} the score {item.score}.",
                cure="A model that makes such scores is broken: train again, or roll back.",
            )


def in_service(generation: str) -> Conflict:
    """What a change to the generation in service is answered with."""
    return Conflict(
        f"Generation {generation!r} is in service and cannot be changed.",
        cure="Write another generation and switch to it.",
    )


def never_written(generation: str) -> NotFound:
    """What a switch to a generation that is not stored is answered with."""
    return NotFound(
        f"Generation {generation!r} holds no lists.",
        cure="`nextup publish` writes one and puts it in service.",
    )
