"""People's characteristic vectors: what the model in service makes of their histories.

It is the very fold-in that answers a request: the same history, weighed in the same way, against
the same items.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nextup.algorithms.models.factor_model import FactorModel
from nextup.domain.people import stored_id
from nextup.recipes.platform_api.tables import Folded
from nextup.services.artifacts import load_artifact
from nextup.services.recommending.history import in_rows, weigh
from nextup.services.serving_model import ServingModel, build_serving_model
from nextup.services.stream import OnlineUpdater

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nextup.domain.recommendations import Touch
    from nextup.ports.event_log import EventLog
    from nextup.ports.online_state import OnlineState
    from nextup.services.steps import Context
    from nextup.settings import Settings


class Folding:
    """One model, and the settings that weigh what people do."""

    def __init__(self, model: ServingModel, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        factors = [one for one in model.components.values() if isinstance(one, FactorModel)]
        self._factors = factors[0] if factors else None

    @classmethod
    def of(cls, context: Context) -> Folding:
        """By the model in service; before there is one, nobody has a vector."""
        current = context.control.current_model()
        artifact = load_artifact(context.files, current) if current else None
        return cls(build_serving_model(artifact, ()), context.settings)

    @property
    def can(self) -> bool:
        """Whether the model has vectors at all: popularity has none."""
        return self._factors is not None

    def fold(self, client_id: str, user_id: str, touches: Iterable[Touch]) -> Folded | None:
        """The person as the model sees them; None where it has no vectors."""
        if self._factors is None:
            return None
        past = weigh(touches, self._settings, datetime.now(UTC))
        vector = self._factors.user_vector(in_rows(self._model, past))
        return Folded(client_id, user_id, vector.tolist())


def fold_everybody(
    folding: Folding, state: OnlineState, people: Iterable[tuple[str, str]]
) -> Iterator[Folded]:
    """Each of the people by their own history."""
    for client_id, user_id in people:
        touches = state.history(stored_id(client_id, user_id))
        folded = folding.fold(client_id, user_id, touches)
        if folded is not None:
            yield folded


def caught_up(event_log: EventLog, state: OnlineState) -> OnlineState:
    """The state with everything that the log holds: a server may lag, or not run."""
    OnlineUpdater(event_log, state).catch_up()
    return state


def joined(known: Sequence[Touch], fresh: Iterable[Touch]) -> list[Touch]:
    """A history with what comes on top; what is in it already, by an earlier try, counts once."""
    have = {touch[:4] for touch in known}
    return [*known, *(touch for touch in fresh if touch[:4] not in have)]
