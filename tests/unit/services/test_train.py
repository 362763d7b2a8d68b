"""What the settings ask for is what is trained, and the same input gives the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from nextup.algorithms.interactions import Interactions
from nextup.domain.errors import Conflict, InvalidInput
from nextup.services.dataset import ItemFacts
from nextup.services.train import Recipe, fit_all, lineage
from nextup.settings import FILE_NAME, Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.algorithms.components import Fitted

ITEMS = 12
SMALL = "[models.als]\nfactors = 4\niterations = 2\n"


def settings_of(folder: Path, text: str = SMALL) -> Settings:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load_settings(folder)


def touches() -> Interactions:
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 10, 50), rng.integers(0, ITEMS, 50)
    return Interactions.from_pairs(users, items, times=np.arange(50), n_users=10, n_items=ITEMS)


def facts(count: int = ITEMS) -> ItemFacts:
    ids = [f"i{n}" for n in range(count)]
    genres = [("horror",) if n % 2 else ("comedy",) for n in range(count)]
    return ItemFacts(
        ids,
        ["film"] * count,
        [f"The Film {n}" for n in range(count)],
        genres,
        [("Ada",)] * count,
        [()] * count,
    )


def arrays(fitted: dict[str, Fitted]) -> dict[str, bytes]:
    return {
        f"{name}/{array}": np.ascontiguousarray(values).tobytes()
        for name, model in fitted.items()
        for array, values in model.arrays().items()
    }


def test_the_default_recipe_can_be_trained(tmp_path: Path) -> None:
    """Every model with a weight is trained on the same items, and popularity always is."""
    recipe = Recipe.from_settings(settings_of(tmp_path))
    fitted = fit_all(recipe, touches(), facts(), seed=1)
    assert list(fitted) == list(recipe.components)
    assert "popularity" in fitted
    assert {model.n_items for model in fitted.values()} == {ITEMS}
    assert {name for name, weight in recipe.blend.items() if weight > 0} <= set(fitted)


def test_equal_input_gives_equal_models(tmp_path: Path) -> None:
    """The same data, recipe and seed give the same bytes, with one thread or two."""
    recipe = Recipe.from_settings(settings_of(tmp_path))
    first, second = (
        arrays(fit_all(recipe, touches(), facts(), seed=1, threads=threads)) for threads in (1, 2)
    )
    assert first == second
    assert arrays(fit_all(recipe, touches(), facts(), seed=2)) != first


def test_a_setting_of_a_model_reaches_it(tmp_path: Path) -> None:
    """`[models.als] factors` is the length of the vectors."""
    recipe = Recipe.from_settings(settings_of(tmp_path, "[models.als]\nfactors = 3\n"))
    fitted = fit_all(recipe, touches(), facts(), seed=1)
    shapes = {array.shape: array for array in fitted["als"].arrays().values()}
    (factors,) = (array for shape, array in shapes.items() if len(shape) == 2)
    assert np.linalg.matrix_rank(factors) == 3


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (SMALL, SMALL, True),
        (SMALL, f"seed = 9\nthreads = 2\n{SMALL}[recommend]\ndiversity = 0.9\n", True),
        (SMALL, "[models.als]\nfactors = 5\niterations = 2\n", False),
        (SMALL, f"{SMALL}[blend]\nals = 0.7\n", False),
        (SMALL, f"{SMALL}[blend]\nitem_item = 0.0\n", False),
        (SMALL, f'{SMALL}[reranker]\nmode = "off"\n', False),
        (SMALL, f"{SMALL}[reranker]\nmoments = 1\n", False),
    ],
)
def test_the_fingerprint_is_of_the_recipe(
    tmp_path: Path, one: str, other: str, equal: bool
) -> None:
    """Models, weights and how an order is learned change it; what only serving reads, and threads,
    do not."""
    recipes = [Recipe.from_settings(settings_of(tmp_path, text)) for text in (one, other)]
    assert (recipes[0].fingerprint == recipes[1].fingerprint) is equal


def test_a_model_without_a_weight_is_not_trained(tmp_path: Path) -> None:
    """A weight of 0 saves the time of training; popularity is kept as the floor."""
    text = f"{SMALL}[blend]\ncontent = 0.0\npopularity = 0.0\n"
    recipe = Recipe.from_settings(settings_of(tmp_path, text))
    assert "content" not in recipe.components
    assert "popularity" in recipe.components


@pytest.mark.parametrize(
    "text",
    [
        "[blend]\ntelepathy = 1.0\n",
        "[models.ease]\n",
        "[models.telepathy]\n[blend]\ntelepathy = 1.0\n",
        "[models.als]\nfactor = 4\n",
        "[models.als]\nfactors = 0\n",
        "[models.als]\nfactors = 'many'\n",
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, text: str) -> None:
    """A weight without a model, a model without a weight, unknown models and settings, and values
    that a model cannot use are all the caller's mistakes, said in words."""
    with pytest.raises(InvalidInput):
        fit_all(Recipe.from_settings(settings_of(tmp_path, text)), touches(), facts(), seed=1)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    """Without a single wanted pair training is refused with what to do first."""
    nothing = Interactions.from_pairs([], [], n_users=3, n_items=ITEMS)
    with pytest.raises(Conflict, match=r"nothing to learn from.*Ingest"):
        fit_all(Recipe.from_settings(settings_of(tmp_path)), nothing, facts(), seed=1)


def test_progress_names_the_model(tmp_path: Path) -> None:
    """Each report says which model is trained, and never more done than there is."""
    reports: list[tuple[str, int, int]] = []
    recipe = Recipe.from_settings(settings_of(tmp_path))
    fit_all(recipe, touches(), facts(), seed=1, report=lambda *given: reports.append(given))
    assert "als" in {what for what, _, _ in reports}
    assert all(0 <= done <= total for _, done, total in reports)


def test_lineage_is_enough_to_make_it_again(tmp_path: Path) -> None:
    """Through JSON and back, the lineage gives the same recipe, seed and facts."""
    settings = settings_of(tmp_path)
    recipe = Recipe.from_settings(settings)
    made = msgspec.json.decode(msgspec.json.encode(lineage(settings, recipe, until="2026-01-01")))
    again = Recipe.from_lineage(made["recipe"])
    assert again.fingerprint == recipe.fingerprint
    assert made["seed"] == settings.seed
    assert made["until"] == "2026-01-01"
    assert made["weights"] == settings.weights.model_dump()
