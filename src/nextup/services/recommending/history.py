"""What one person did, in the model's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.confidence import Confidences, confidences
from nextup.algorithms.interactions import History
from nextup.domain.events import to_microseconds
from nextup.domain.weighing import Weighing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nextup.domain.recommendations import Touch
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings


def weigh(touches: Iterable[Touch], settings: Settings, now: datetime) -> Confidences:
    """The touches, weighed as training weighs them."""
    weighing = Weighing.from_weights(settings.weights, settings.contracts.rating_max)
    return confidences(touches, weighing, to_microseconds(now))


def in_rows(model: ServingModel, past: Confidences) -> History:
    """What speaks for a taste and the model knows, oldest first."""
    rows = [model.items.index.get(item_id, model.n_known) for item_id in past.items]
    items = np.array(rows, np.int32)
    known = items < model.n_known
    return History(items[known], past.weights[known], past.times[known])
