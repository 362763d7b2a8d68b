"""Histories as they are kept: bytes to which touches are added without reading the others."""

from __future__ import annotations

import pytest

from nextup.adapters.online_state.packing import StatePacker
from nextup.domain.errors import CorruptData
from nextup.domain.recommendations import Touch


def touches(start: int, many: int) -> list[Touch]:
    return [Touch(f"item-{n}", "rating", n / 2, n, n) for n in range(start, start + many)]


@pytest.mark.parametrize("before", [0, 1, 14, 15, 16, 65_534, 65_535, 65_536])
@pytest.mark.parametrize("more", [1, 2, 20])
def test_added_as_if_packed_together(before: int, more: int) -> None:
    """To the byte, at every length at which the beginning of an array changes."""
    packer = StatePacker()
    old, new = touches(0, before), touches(before, more)
    extended = packer.extend_touches("ada", packer.pack_touches(old), new)
    assert extended == packer.pack_touches(old + new)


@pytest.mark.parametrize("packed", [b"", b"\xdc", b"\xdd\0\0", b"\xa3abc"])
def test_what_is_no_history_is_damage(packed: bytes) -> None:
    """Nothing is added to it: what is left of it could be restored."""
    with pytest.raises(CorruptData, match="ada"):
        StatePacker().extend_touches("ada", packed, touches(0, 1))
