"""How histories and served lists are kept in backends that keep bytes."""

from __future__ import annotations

import msgspec

from nextup.domain.errors import CorruptData
from nextup.domain.recommendations import ServedList, Touch

_FEW, _MANY, _VERY_MANY = 0x90, 0xDC, 0xDD  # how an array begins, by its length
_WIDTHS = {_MANY: 2, _VERY_MANY: 4}  # bytes of the length that follows
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

    def extend_touches(self, user_id: str, packed: bytes, touches: list[Touch]) -> bytes:
        """What `pack_touches` gives for those of `packed` and these behind them, at the price of
        these: of the others only the number is read. Raises CorruptData where there is none."""
        try:
            before, kept = _parts(packed)
        except (IndexError, ValueError) as error:
            raise CorruptData(f"The history of {user_id!r} is damaged.", cure=_CURE) from error
        added, new = _parts(self.pack_touches(touches))
        return _array(before + added) + kept + new

    def pack_served(self, served: ServedList) -> str:
        """A served list as JSON that a person can read in the database."""
        return self._served_encoder.encode(served).decode()

    def unpack_served(self, token: str, packed: str | bytes) -> ServedList:
        """The inverse of `pack_served`. Raises CorruptData for anything else."""
        try:
            return self._served_decoder.decode(packed)
        except msgspec.DecodeError as error:
            raise CorruptData(f"The served list {token!r} is damaged.", cure=_CURE) from error


def _parts(packed: bytes) -> tuple[int, bytes]:
    """How many elements an array of MessagePack has, and their bytes."""
    kind = packed[0]
    if kind & 0xF0 == _FEW:
        return kind & 0x0F, packed[1:]
    width = _WIDTHS.get(kind)
    if width is None or len(packed) <= width:
        raise ValueError("not an array")
    return int.from_bytes(packed[1 : 1 + width], "big"), packed[1 + width :]


def _array(length: int) -> bytes:
    """What an array of so many begins with."""
    if length <= 0x0F:
        return bytes((_FEW | length,))
    kind, width = (_MANY, 2) if length <= 0xFFFF else (_VERY_MANY, 4)
    return bytes((kind,)) + length.to_bytes(width, "big")
