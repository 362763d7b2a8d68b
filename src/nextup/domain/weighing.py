"""How touches add up to confidence: the one definition that batch and live serving share.

For one person and one item, with S(type) the number of events of a type, each counted as
0.5 ** (age / half_life):

    confidence = sum over view, click, like of weight * log2(1 + S)
               + rating weight * clip((value - neutral) / (highest - neutral), 0, 1) * fading,
                 of the last rating only

so the first view counts its full weight, the third makes it twice and the seventh three times as
much. A pair whose last like, rating or dismiss is a dismiss has confidence 0. Impressions say
nothing. "Last" is by time, then by offset in the log. A retract takes back what the person did with
the item until that time, as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from nextup.domain.events import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

UNIT: Final = 1e-9  # fading counts are summed as whole units, so that no order changes a sum

VERDICTS: Final = (EventType.LIKE, EventType.RATING, EventType.DISMISS)
"""What says yes or no; the last one decides whether an item is dismissed."""


class Weights(Protocol):
    """The settings of that name."""

    @property
    def view(self) -> float: ...  # noqa: D102
    @property
    def click(self) -> float: ...  # noqa: D102
    @property
    def like(self) -> float: ...  # noqa: D102
    @property
    def rating(self) -> float: ...  # noqa: D102
    @property
    def neutral_rating(self) -> float: ...  # noqa: D102
    @property
    def half_life_days(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Weighing:
    """What each kind of touch says about what a person wants."""

    view: float = 1.0
    click: float = 2.0
    like: float = 5.0
    rating: float = 5.0  # for the highest rating
    neutral_rating: float = 2.5  # it and what is below say nothing good
    highest_rating: float = 5.0
    half_life_seconds: float = 0.0  # 0: touches never fade

    @classmethod
    def from_weights(cls, weights: Weights, highest_rating: float = 5.0) -> Self:
        """As the settings say; `highest_rating` is the contract's."""
        return cls(
            view=weights.view,
            click=weights.click,
            like=weights.like,
            rating=weights.rating,
            neutral_rating=weights.neutral_rating,
            highest_rating=highest_rating,
            half_life_seconds=weights.half_life_days * 86_400.0,
        )

    @property
    def counted(self) -> Mapping[str, float]:
        """The weights of the types that are counted, in the order they are added."""
        return {EventType.VIEW: self.view, EventType.CLICK: self.click, EventType.LIKE: self.like}

    @property
    def rating_span(self) -> float:
        """From neutral to highest; never 0, so that it can divide."""
        return max(self.highest_rating - self.neutral_rating, 1e-9)
