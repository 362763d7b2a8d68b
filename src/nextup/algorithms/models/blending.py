"""Several models' scores become one: each is brought to a common scale for the person, then added.

`Blend` is itself a model, fitted, stored and evaluated as any other; `blend_scores` is the same
for sources that are at hand already. How to find the weights is in `blend_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    ClassVar,
    Literal,
    Protocol,
    Self,
    cast,
    get_args,
    runtime_checkable,
)

import numpy as np

from nextup.algorithms.inputs import check_history, check_not_negative, check_people
from nextup.algorithms.lists.selection import rank_in_blocks
from nextup.algorithms.models import by_name as models
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Progress, Ranking
    from nextup.algorithms.interactions import History, Interactions

Scale = Literal["deviation", "best", "rank"]
RANK_OFFSET = 10.0  # how fast reciprocal ranks fall: place 1 counts twice as much as place 12


@runtime_checkable
class ScoresMany(Protocol):
    """Can score many people at once, faster than one after another."""

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """All items' scores for each person, (n_users, n_items)."""
        ...


@runtime_checkable
class HasVectors(Protocol):
    """Scores are products of a person's vector with the items' vectors."""

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """(n_items, factors)"""
        ...

    def user_matrix(self, interactions: Interactions) -> NDArray[np.float32]:
        """(n_users, factors)"""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One model of a blend."""

    model: str  # its name
    weight: float = 1.0  # relative to the other parts'
    settings: Mapping[str, object] = field(default_factory=dict)  # of the model

    def __post_init__(self) -> None:
        check_not_negative(weight=self.weight)


def _default_parts() -> tuple[Part, ...]:
    return (Part("implicit_als"), Part("item_item"), Part("spectral"))


@dataclass(frozen=True, slots=True)
class Blend:
    """Fits its parts one after another. A warm start from a Blend of the same parts reaches them.

    `parts` may also be given as plain mappings, as they come from a settings file.
    """

    name: ClassVar[str] = "blend"

    parts: Sequence[Part] = field(default_factory=_default_parts)  # models and their weights
    scale: Scale = "deviation"  # what brings scores together: see `rescaled`

    def __post_init__(self) -> None:
        if isinstance(self.parts, str | Mapping):
            raise InvalidInput("parts must be a list of models, each with a weight.")
        parts = tuple(Part(**part) if isinstance(part, Mapping) else part for part in self.parts)
        object.__setattr__(self, "parts", parts)
        _check_scale(self.scale)
        if not sum(part.weight for part in parts) > 0:
            raise InvalidInput("A blend needs at least one part with a positive weight.")

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> BlendModel:
        """Parts without weight are left out. Raises what a part raises."""
        used = [part for part in self.parts if part.weight > 0]
        before: Sequence[Fitted | None] = [None] * len(used)
        if isinstance(warm_start, BlendModel) and len(warm_start.fitted) == len(used):
            before = warm_start.fitted
        fitted = []
        for part, previous in zip(used, before, strict=True):
            component = models.component(part.model, **part.settings)
            fitted.append(component.fit(interactions, seed=seed, warm_start=previous))
            if progress is not None:
                progress(len(fitted), len(used))
        return BlendModel(tuple(fitted), np.array([part.weight for part in used]), self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class BlendModel:
    """The weighted sum of its models' scores, each on the person's common scale.

    For an empty history it is what its models make of one: models of taste all say 0.
    """

    name: ClassVar[str] = "blend"

    fitted: tuple[Fitted, ...]
    weights: NDArray[np.float64]  # (models,), positive
    scale: Scale

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return self.fitted[0].n_items

    def score(self, history: History) -> NDArray[np.float32]:
        """(n_items,)"""
        check_history(history, self.n_items)
        scores = [model.score(history) for model in self.fitted]
        return blend_scores(scores, self.weights.tolist(), scale=self.scale)

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """The same for many people, (n_users, n_items)."""
        check_people(interactions, self.n_items)
        total = np.zeros((interactions.n_users, self.n_items), np.float32)
        for model, weight in zip(self.fitted, self.weights, strict=True):
            scores = rescaled(dense_scores(model, interactions), self.scale)
            scores *= np.float32(weight)
            total += scores
        return total

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best items for everybody, by blocks of all models' dense scores."""
        check_people(interactions, self.n_items)
        return rank_in_blocks(self.score_many, interactions, limit, exclude_seen=exclude_seen)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Each model's arrays under its number, the models' names and weights, and the scale."""
        stored: dict[str, NDArray[np.generic]] = {
            "names": np.array([model.name for model in self.fitted]),
            "weights": self.weights,
            "scale": np.array([self.scale]),
        }
        for number, model in enumerate(self.fitted):
            stored.update({f"{number}.{key}": value for key, value in model.arrays().items()})
        return stored

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        fitted = []
        for number, name in enumerate(arrays["names"].tolist()):
            start = f"{number}."
            own = {
                key.removeprefix(start): value
                for key, value in arrays.items()
                if key.startswith(start)
            }
            fitted.append(models.fitted_class(name).from_arrays(own))
        scale = cast("Scale", arrays["scale"].tolist()[0])
        return cls(tuple(fitted), np.asarray(arrays["weights"], np.float64), scale)


def blend_scores(
    scores: Sequence[NDArray[np.floating]],
    weights: Sequence[float],
    *,
    scale: Scale = "deviation",
) -> NDArray[np.float32]:
    """One person's scores from several sources, (n_items,) each, added up with the weights.

    A source that says nothing (all scores equal) adds nothing.
    """
    _check_scale(scale)
    if len(scores) != len(weights) or not scores or len({len(score) for score in scores}) != 1:
        raise InvalidInput("A blend needs one weight per source, and sources of equal length.")
    total = np.zeros(len(scores[0]), np.float32)
    for source, weight in zip(scores, weights, strict=True):
        check_not_negative(weight=weight)
        row = np.array(source, np.float32)[None, :]  # a copy, rescaled in place
        total += rescaled(row, scale)[0] * np.float32(weight)
    return total


def rescaled(scores: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Each person's (row's) scores on a scale that does not depend on the model; overwrites.

    "deviation": standard deviations above the person's mean score. "best": share of the best
    score, nothing for negative ones. "rank": reciprocal ranks, whatever the distances.
    A row of equal scores becomes zeros.
    """
    if scores.size == 0:
        return scores
    flat = scores.max(axis=1) == scores.min(axis=1)
    if scale == "rank":
        order = np.argsort(-scores, axis=1, kind="stable")
        value = (1.0 / (RANK_OFFSET + np.arange(scores.shape[1]))).astype(np.float32)
        np.put_along_axis(scores, order, np.broadcast_to(value, scores.shape), axis=1)
    elif scale == "best":
        np.maximum(scores, 0, out=scores)
        scores /= np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    else:
        scores -= scores.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.einsum("un,un->u", scores, scores) / scores.shape[1])[:, None]
        scores /= np.maximum(spread, np.finfo(np.float32).tiny)
    scores[flat] = 0
    return scores


def dense_scores(model: Fitted, interactions: Interactions) -> NDArray[np.float32]:
    """All items' scores for each person, (n_users, n_items), the fastest way the model has."""
    if isinstance(model, ScoresMany):
        return model.score_many(interactions)
    if isinstance(model, HasVectors):
        return np.asarray(model.user_matrix(interactions) @ model.item_factors.T, np.float32)
    scores = np.empty((interactions.n_users, model.n_items), np.float32)
    for user in range(interactions.n_users):
        scores[user] = model.score(interactions.history(user))
    return scores


def _check_scale(scale: str) -> None:
    if scale not in get_args(Scale):
        raise InvalidInput(
            f"There is no scale {scale!r}.", cure=f"There are {', '.join(get_args(Scale))}."
        )
