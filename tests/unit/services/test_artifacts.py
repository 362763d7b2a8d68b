"""A model written to disk is the model that was trained, or an error that says what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nextup.adapters.files.local import LocalFiles
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.by_name import component
from nextup.domain.errors import ConfigurationError, CorruptData, NextupError, NotFound
from nextup.services.artifacts import FOLDER, Artifact, load_artifact, save_artifact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.files import Files

PEOPLE, ITEMS = 12, 9
NAMES = ["popularity", "item_item", "als", "ease", "spectral", "covisitation", "next_item"]


def touches() -> Interactions:
    rng = np.random.default_rng(1)
    users, items = rng.integers(0, PEOPLE, 60), rng.integers(0, ITEMS, 60)
    return Interactions.from_pairs(users, items, times=np.arange(60), n_users=PEOPLE, n_items=ITEMS)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = LocalFiles(tmp_path / "files")
    yield files
    files.close()


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    settings = {"als": {"factors": 4, "threads": 1}, "spectral": {"factors": 4}}
    fitted = {name: component(name, **settings.get(name, {})).fit(touches()) for name in NAMES}
    return Artifact(
        model_id="2026-01-02-abcd",
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
        item_ids=[f"item {n} ü" for n in range(ITEMS)],
        components=fitted,
        metrics={"candidate": {"ndcg@10": [0.1, 0.05, 0.15]}},
        lineage={"log_position": {"0": 60}, "seed": 42},
        blend={"als": 0.5, "popularity": 0.1},
    )


def test_what_is_loaded_ranks_as_what_was_saved(files: Files, artifact: Artifact) -> None:
    """Ids, figures, lineage and blend come back, and every component scores identically."""
    save_artifact(files, artifact)
    loaded = load_artifact(files, artifact.model_id)
    assert list(loaded.components) == NAMES
    for fact in ("model_id", "created_at", "item_ids", "metrics", "lineage", "blend"):
        assert getattr(loaded, fact) == getattr(artifact, fact), fact
    people = touches()
    for name, fitted in artifact.components.items():
        for user in range(PEOPLE):
            history = people.history(user)
            expected = fitted.score(history)
            np.testing.assert_array_equal(loaded.components[name].score(history), expected)


def is_mapped(array: object) -> bool:
    """Whether the array is a file's memory, or a view of it."""
    return array is not None and (
        isinstance(array, np.memmap) or is_mapped(getattr(array, "base", None))
    )


def test_arrays_stay_on_disk(files: Files, artifact: Artifact) -> None:
    """The factors are memory-mapped, not copied, and cannot be written by a server."""
    save_artifact(files, artifact)
    factors = load_artifact(files, artifact.model_id).components["als"].arrays()
    large = [array for array in factors.values() if array.ndim == 2]
    assert large
    assert all(is_mapped(array) for array in large)
    assert not any(array.flags.writeable for array in large)


def test_saving_again_replaces_the_folder(files: Files, artifact: Artifact) -> None:
    """The same id again leaves nothing of what was there before."""
    save_artifact(files, artifact)
    only = {"popularity": artifact.components["popularity"]}
    save_artifact(files, replace(artifact, components=only, blend={"popularity": 1.0}))
    assert list(load_artifact(files, artifact.model_id).components) == ["popularity"]
    assert files.list(f"{FOLDER}/{artifact.model_id}") == [
        "items.json",
        "model.json",
        "popularity/",
    ]


def test_a_failed_save_leaves_the_old_model(
    files: Files, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose writing breaks off is not there at all; the one before still is."""
    save_artifact(files, artifact)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(RuntimeError):
        save_artifact(files, replace(artifact, item_ids=[]))
    monkeypatch.undo()
    assert load_artifact(files, artifact.model_id).item_ids == artifact.item_ids


@pytest.mark.parametrize("model_id", ["nope", "", "../nope", "/etc"])
def test_an_unknown_model_is_refused(files: Files, model_id: str) -> None:
    """An id without a model, or one that tries to leave the folder, is an expected error."""
    with pytest.raises(NextupError) as caught:
        load_artifact(files, model_id)
    assert not isinstance(caught.value, CorruptData)


def test_an_unknown_model_names_the_list(files: Files) -> None:
    """The cure is the command that lists all models."""
    with pytest.raises(NotFound, match=r"no model 'nope'.*nextup model list"):
        load_artifact(files, "nope")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", b""),
        ("model.json", b"{}"),
        ("model.json", b"\xff"),
        ("items.json", b"[1, 2]"),
        ("items.json", None),
        ("als/item_factors.npy", b""),
        ("als/item_factors.npy", b"\x93NUMPY"),
        ("als/item_factors.npy", None),
    ],
)
def test_a_damaged_part_is_an_expected_error(
    files: Files, artifact: Artifact, tmp_path: Path, name: str, content: bytes | None
) -> None:
    """A file that is missing, empty or cut is named as damage, with the way back."""
    save_artifact(files, artifact)
    place = tmp_path / "files" / FOLDER / artifact.model_id / name
    if not place.exists():  # whichever array the component has
        place = next(iter(sorted(place.parent.glob("*.npy"))))
    place.unlink() if content is None else place.write_bytes(content)
    with pytest.raises(CorruptData, match=r"2026-01-02-abcd.*nextup model rollback"):
        load_artifact(files, artifact.model_id)


def test_every_array_may_be_cut_anywhere(files: Files, artifact: Artifact, tmp_path: Path) -> None:
    """Half of any array's file is damage, never a model."""
    folder = tmp_path / "files" / FOLDER / artifact.model_id
    save_artifact(files, artifact)
    for place in sorted(folder.rglob("*.npy")):
        whole = place.read_bytes()
        place.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CorruptData):
            load_artifact(files, artifact.model_id)
        place.write_bytes(whole)
    load_artifact(files, artifact.model_id)


def test_a_component_that_this_version_lacks(
    files: Files, artifact: Artifact, tmp_path: Path
) -> None:
    """A model of a newer version, with a component unknown here, is an expected error."""
    save_artifact(files, artifact)
    card = tmp_path / "files" / FOLDER / artifact.model_id / "model.json"
    card.write_text(card.read_text("utf-8").replace('"ease"', '"telepathy"'), "utf-8")
    with pytest.raises(CorruptData, match="cannot be read"):
        load_artifact(files, artifact.model_id)


def test_files_that_are_elsewhere_cannot_serve(artifact: Artifact) -> None:
    """Without a local disk arrays cannot be mapped, and the error says so."""
    with pytest.raises(ConfigurationError, match="this machine's disk"):
        load_artifact(object(), artifact.model_id)
