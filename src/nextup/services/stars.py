"""Predicted stars: what a model of ratings thinks a person would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nextup.services.recommending.history import in_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nextup.algorithms.confidence import Confidences
    from nextup.algorithms.interactions import History
    from nextup.services.serving_model import ServingModel


@runtime_checkable
class PredictsStars(Protocol):
    """A model of ratings."""

    def predict(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """The stars for these items, within the scale of the ratings."""
        ...


def predicted_stars(
    model: ServingModel, past: Confidences, item_ids: Sequence[str]
) -> Mapping[str, float]:
    """The stars for those of the items that the model knows; nothing where no model of ratings is
    in service. The weights of touches must be stars: `weights.rating` the highest rating,
    `weights.neutral_rating` 0, and every other weight 0."""
    rating_model = next(
        (one for one in model.components.values() if isinstance(one, PredictsStars)), None
    )
    if rating_model is None:
        return {}
    known = [one for one in item_ids if model.items.index.get(one, model.n_known) < model.n_known]
    rows = model.items.rows(known)
    stars = rating_model.predict(in_rows(model, past), rows)
    return dict(zip(known, stars.tolist(), strict=True))
