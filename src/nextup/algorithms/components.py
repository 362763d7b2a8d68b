"""What every model is: a configuration that can be fitted, and what fitting gives.

Arrays in, arrays out. People and items are row numbers here; the strings of the outside world
are translated by the services above. Abilities beyond scoring are protocols of their own, so a
model without, say, neighbours simply does not have the method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from nextup.algorithms.interactions import History, Interactions

    Progress = Callable[[int, int], None]
    """Called as `progress(done, total)` from the fitting thread."""


class Ranking(NamedTuple):
    """The best items of many people, one row each, best first; ties go to the lower index."""

    items: NDArray[np.int32]  # (people, limit), -1 where a person has fewer candidates
    scores: NDArray[np.float32]  # (people, limit), -inf beside a -1


class Neighbours(NamedTuple):
    """The items most similar to one item, best first."""

    items: NDArray[np.int32]  # (n,)
    scores: NDArray[np.float32]  # (n,)


class Factoring(NamedTuple):
    """Over person vectors x, item vectors y and touches of value v, to be minimised is

    sum_touched (v - x'y)^2 + L2 where `alpha` is None, else
    sum_touched (1 + alpha v) (1 - x'y)^2 + sum_untouched (x'y)^2 + L2, and each row's L2 weight is
    `regularization` times its number of touches.
    """

    values: NDArray[np.float32]  # (nnz,) of each touch of the interactions
    factors: int
    iterations: int
    regularization: float
    alpha: float | None = None


class Fitted(Protocol):
    """A trained model. Immutable and safe to share between threads.

    `arrays` and `from_arrays` are exact inverses: saved and loaded (possibly memory-mapped and
    read-only), a model ranks identically.
    """

    name: ClassVar[str]

    @property
    def n_items(self) -> int:
        """How many items it scores."""
        ...

    def score(self, history: History) -> NDArray[np.float32]:
        """Every item's score for this person, (n_items,); what was already seen is not removed."""
        ...

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Everything that must be stored, by file name."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        ...


class Component(Protocol):
    """A frozen configuration that knows how to fit itself; a dataclass or pydantic model."""

    name: ClassVar[str]

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """Train. The same input and seed give the same model; a component that has no use for
        the seed or for a warm start ignores it."""
        ...


@runtime_checkable
class LearnsElsewhere(Protocol):
    """An alternating least squares that another's can stand in for: it says what shall be
    minimised, and makes the fitted model of the items' vectors that come back."""

    name: ClassVar[str]

    def asks(self, interactions: Interactions) -> Factoring:
        """The nearest problem in the other's words. Raises InvalidInput without any touch."""
        ...

    def answered(self, interactions: Interactions, item_vectors: NDArray[np.float32]) -> Fitted:
        """The model of these vectors, (n_items, factors); an item nobody touched has zeros."""
        ...


@runtime_checkable
class RanksEveryone(Protocol):
    """Can rank for many people at once, faster than one `score` after another."""

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best `limit` items for each person (row) of `interactions`."""
        ...


@runtime_checkable
class FindsSimilar(Protocol):
    """Knows which items go together."""

    def similar(self, item: int, limit: int) -> Neighbours:
        """Never contains the item itself."""
        ...


@runtime_checkable
class Explains(Protocol):
    """Can say which of a person's own touches a score came from."""

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): the part of each item's score that each touch of the history gave.

        For a linear model the columns add up to the score.
        """
        ...


@runtime_checkable
class KnowsPeople(Protocol):
    """Describes a person by a vector in the space of the items' vectors."""

    def user_matrix(self, interactions: Interactions) -> NDArray[np.float32]:
        """Everybody's vector, (people, k)."""
        ...
