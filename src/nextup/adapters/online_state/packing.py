"""How histories and served lists are kept in backends that keep bytes."""

from __future__ import annotations

import msgspec

from nextup.domain.errors import CorruptData
from nextup.domain.recommendations import ServedList, Touch

_CURE = "The online state can be rebuilt: remove it, and start again."


class StatePacker:
    """Turns touches into MessagePack and served lists into JSON, and back, exactly."""

    def __init__(self) -> None:
        self._touches_encoder = msgspec.msgpack.Encoder()
        self._touches_decoder = msgspec.msgpack.Decoder(list[Touch])
        self._served_encoder = msgspec.json.Encoder()
        self._served_decoder = msgspec.json.Decoder(ServedList)

    def pack_touches(self, touches: list[Touch]) -> bytes:
        """All touches of a person, small and fast: they are packed anew with each event."""
        return self._touches_encoder.encode(touches)

    def pack_touch(self, touch: Touch) -> bytes:
        """One touch, as it lies among those of `pack_touches`."""
        return self._touches_encoder.encode(touch)

    def unpack_touches(self, user_id: str, packed: bytes) -> list[Touch]:
        """The inverse of `pack_touches`. Raises CorruptData for anything else."""
        try:
            return self._touches_decoder.decode(packed)
        except msgspec.DecodeError as error:
            raise CorruptData(f"The history of {user_id!r} is damaged.", cure=_CURE) from error

    def pack_served(self, served: ServedList) -> str:
        """A served list as JSON that a person can read in the database."""
        return self._served_encoder.encode(served).decode()

    def unpack_served(self, token: str, packed: str | bytes) -> ServedList:
        """The inverse of `pack_served`. Raises CorruptData for anything else."""
        try:
            return self._served_decoder.decode(packed)
        except msgspec.DecodeError as error:
            raise CorruptData(f"The served list {token!r} is damaged.", cure=_CURE) from error
