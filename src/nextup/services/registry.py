"""Which model serves: list, promote, roll back. Switching moves one pointer, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.domain.errors import Conflict, NotFound

if TYPE_CHECKING:
    from nextup.domain.operations import ModelRecord
    from nextup.ports.control import Control
    from nextup.ports.recommendation_store import RecommendationStore


def promote(control: Control, store: RecommendationStore, model_id: str) -> ModelRecord:
    """Put a registered model in service, with its lists where they were published.

    Promoting the model that is in service already changes nothing, unless its lists were left
    behind by a kill. Raises NotFound.
    """
    model = control.model(model_id)
    if model is None:
        raise NotFound(f"There is no model '{model_id}'.", cure="`nextup model list` shows all.")
    if control.current_model() != model_id:
        control.set_current_model(model_id)
    switch_lists(control, store, model_id)
    return control.model(model_id) or model


def rollback(control: Control, store: RecommendationStore) -> ModelRecord:
    """Return to the model that served before. Raises Conflict where there is none."""
    earlier = control.previous_models()
    if not earlier:
        raise Conflict(
            "No model was in service before this one.", cure="`nextup model list` shows all."
        )
    model = control.model(earlier[0])
    if model is None:
        raise NotFound(
            f"Model '{earlier[0]}', which served before, is gone from the registry.",
            cure="`nextup model promote` names another.",
        )
    control.set_current_model(model.model_id)  # to the one beneath: a step back
    switch_lists(control, store, model.model_id)
    return model


def switch_lists(control: Control, store: RecommendationStore, model_id: str) -> bool:
    """Put the model's latest generation in service; False where it has none in the store."""
    stored = set(store.generations())
    for generation in control.generations():
        if generation.model_id == model_id and generation.generation in stored:
            store.switch(generation.generation)
            return True
    return False
