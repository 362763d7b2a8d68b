"""An item's attributes as JSON, which any backend keeps exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_json(attributes: Mapping[str, Any]) -> str:
    """Raises InvalidInput for what JSON has no word for."""
    try:
        return msgspec.json.encode(dict(attributes)).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(
            f"An attribute cannot be stored as JSON: {error}.",
            cure="Use text, numbers, true, false, null, lists and objects.",
        ) from error
