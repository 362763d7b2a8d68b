"""A trained model as a folder: arrays, ids, metrics and lineage, memory-mapped when read.

models/<model_id>/model.json            what it is, how good, and from what it was made
models/<model_id>/items.json            the item ids, in the order of the arrays' rows
models/<model_id>/<component>/<array>.npy
models/<model_id>/reranker/<array>.npy  the learned order, where one was proven
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nextup.algorithms.models import by_name as models
from nextup.algorithms.reranking.reranker import FittedReranker
from nextup.domain.errors import ConfigurationError, CorruptData, InvalidInput, NotFound
from nextup.ports.files import SupportsLocalPath

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.ports.files import Files

FOLDER = "models"
RERANKER = FittedReranker.name


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """Everything that was learned at one moment: several components over the same items."""

    model_id: str
    created_at: datetime
    item_ids: Sequence[str]  # row i of every array is item_ids[i]
    components: Mapping[str, Fitted]
    metrics: Mapping[str, Any]
    lineage: Mapping[str, Any]  # settings, log position, table versions, code version
    blend: Mapping[str, float]  # the weight of each component in a list, as the gate judged it
    ranker: FittedReranker | None = None  # the learned order; None: the blend's


class _Card(msgspec.Struct):
    """What `model.json` holds."""

    model_id: str
    created_at: datetime
    components: dict[str, list[str]]  # each one's arrays; the reranker's too
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    blend: dict[str, float]


def save_artifact(files: Files, artifact: Artifact) -> str:
    """Write the folder as a whole and return its name; the same id again replaces it."""
    arrays = {name: fitted.arrays() for name, fitted in artifact.components.items()}
    if artifact.ranker is not None:
        arrays[RERANKER] = artifact.ranker.arrays()
    card = _Card(
        artifact.model_id,
        artifact.created_at,
        {name: sorted(parts) for name, parts in arrays.items()},
        dict(artifact.metrics),
        dict(artifact.lineage),
        dict(artifact.blend),
    )
    name = f"{FOLDER}/{artifact.model_id}"
    with files.replace_folder(name) as folder:
        for component, parts in arrays.items():
            (folder / component).mkdir()
            for array, values in parts.items():
                np.save(folder / component / f"{array}.npy", values, allow_pickle=False)
        (folder / "items.json").write_bytes(msgspec.json.encode(list(artifact.item_ids)))
        text = msgspec.json.format(msgspec.json.encode(card), indent=2)
        (folder / "model.json").write_bytes(text)
    return name


def load_artifact(files: Files, model_id: str) -> Artifact:
    """Read a model; its arrays stay on disk until they are touched.

    Raises NotFound for an unknown id and CorruptData where a part is missing or damaged.
    """
    if not isinstance(files, SupportsLocalPath):
        raise ConfigurationError("Models can only be served from files on this machine's disk.")
    name = f"{FOLDER}/{model_id}"
    if not files.exists(f"{name}/model.json"):
        raise NotFound(f"There is no model '{model_id}'.", cure="`nextup model list` shows all.")
    folder = files.local_path(name)
    try:
        card = msgspec.json.decode((folder / "model.json").read_bytes(), type=_Card)
        item_ids = msgspec.json.decode((folder / "items.json").read_bytes(), type=list[str])
        components = {
            component: models.fitted_class(component).from_arrays(
                _load_arrays(folder, component, arrays)
            )
            for component, arrays in card.components.items()
            if component != RERANKER
        }
        ranker = None
        if RERANKER in card.components:
            arrays = _load_arrays(folder, RERANKER, card.components[RERANKER])
            ranker = FittedReranker.from_arrays(arrays)
    except (OSError, EOFError, ValueError, KeyError, InvalidInput) as error:
        raise CorruptData(
            f"Model '{model_id}' cannot be read: {error}.",
            cure="`nextup model rollback` returns to the one before.",
        ) from error
    return Artifact(
        card.model_id,
        card.created_at,
        item_ids,
        components,
        card.metrics,
        card.lineage,
        card.blend,
        ranker,
    )


def _load_arrays(
    folder: Path, component: str, arrays: Sequence[str]
) -> dict[str, NDArray[np.generic]]:
    return {array: _load_array(folder / component / f"{array}.npy") for array in arrays}


def _load_array(file: Path) -> NDArray[np.generic]:
    """Mapped, so that workers share it; an empty array has nothing to map."""
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except ValueError:
        return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]
