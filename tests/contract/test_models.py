"""What every model promises, whatever it learns: one suite over the whole registry."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from nextup.algorithms.components import Explains, FindsSimilar, RanksEveryone
from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models import by_name as models
from nextup.algorithms.models.content import ItemTerms
from nextup.domain.errors import InvalidInput

N_USERS, N_ITEMS = 40, 30
SMALL = {  # quick to fit, otherwise as it comes
    "implicit_als": {"factors": 8, "threads": 1},
    "explicit_als": {"factors": 4, "threads": 1},
    "spectral": {"factors": 6},
    "sparse_ease": {"regularization": 5.0},
    "ease": {"regularization": 5.0},
    "blend": {
        "parts": [
            {"model": "popularity", "weight": 0.5},
            {"model": "implicit_als", "settings": {"factors": 4, "threads": 1}},
            {"model": "next_item"},
        ]
    },
}
SAME_FOR_ALL = {"popularity", "trending"}  # a history does not change their scores
KNOWS_WITHOUT_HISTORY = {*SAME_FOR_ALL, "explicit_als", "blend"}  # ours has popularity in it
WITHOUT_NEIGHBOURS = {*SAME_FOR_ALL, "explicit_als", "blend"}
WITHOUT_REASONS = WITHOUT_NEIGHBOURS
NEEDS_NO_TOUCHES = {"content"}

every_model = pytest.mark.parametrize("name", models.names())
finds_similar = pytest.mark.parametrize(
    "name", [name for name in models.names() if hasattr(models.fitted_class(name), "similar")]
)
explains = pytest.mark.parametrize(
    "name", [name for name in models.names() if hasattr(models.fitted_class(name), "contributions")]
)
NOBODY = History(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))


def some_touches(seed=0, n=400, n_users=N_USERS, n_items=N_ITEMS):
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, n_users, n),
        rng.zipf(1.6, n) % n_items,
        rng.integers(1, 6, n),
        1_700_000_000 + rng.integers(0, 30 * 86_400, n),
        n_users=n_users,
        n_items=n_items,
    )


def component(name, n_items=N_ITEMS):
    settings = dict(SMALL.get(name, {}))
    if name == "content":
        genres = [[f"genre {item % 3}", f"genre {item % 7}"] for item in range(n_items)]
        settings["features"] = ItemTerms.from_tokens({"genres": genres})
    return models.component(name, **settings)


@cache
def fitted(name):
    return component(name).fit(some_touches(), seed=1)


@every_model
def test_the_same_seed_gives_the_same_model(name):
    """Fitted twice on the same data with the same seed, all arrays are equal."""
    again = component(name).fit(some_touches(), seed=1)
    for key, array in fitted(name).arrays().items():
        assert np.array_equal(array, again.arrays()[key]), key


@every_model
def test_a_stored_model_ranks_identically(name, tmp_path):
    """Saved and loaded as memory-mapped, read-only arrays, lists and scores are the same bits."""
    model = fitted(name)
    loaded = {}
    for key, array in model.arrays().items():
        np.save(tmp_path / f"{key}.npy", array)
        mode = "r" if array.size else None  # an empty file cannot be mapped
        loaded[key] = np.load(tmp_path / f"{key}.npy", mmap_mode=mode)
    again = models.fitted_class(name).from_arrays(loaded)
    data = some_touches(1)
    assert again.n_items == model.n_items == N_ITEMS
    for user in range(5):
        history = data.history(user)
        assert np.array_equal(again.score(history), model.score(history))
    first, second = rank_everyone(model, data, 8), rank_everyone(again, data, 8)
    assert np.array_equal(first.items, second.items)
    assert np.array_equal(first.scores, second.scores)


@every_model
def test_everything_it_stores_is_an_array(name):
    """Arrays have names fit for files and no Python objects inside."""
    for key, array in fitted(name).arrays().items():
        assert key.replace(".", "").replace("_", "").isalnum()
        assert isinstance(array, np.ndarray)
        assert array.dtype != object
        assert array.ndim >= 1


@every_model
def test_ranking_many_agrees_with_scoring_each(name):
    """Each list holds the best scores among what its person has not seen, and no seen item."""
    data = some_touches(2, n=300)
    ranking = rank_everyone(fitted(name), data, 6)
    for user in range(N_USERS):
        history = data.history(user)
        scores = fitted(name).score(history)
        scores[history.items] = -np.inf
        items = ranking.items[user]
        assert (items >= 0).all()
        assert not np.isin(items, history.items).any()
        assert len(set(items.tolist())) == len(items)
        best = np.sort(scores)[::-1][:6]
        assert ranking.scores[user] == pytest.approx(best, rel=1e-4, abs=1e-5)
        assert scores[items] == pytest.approx(best, rel=1e-4, abs=1e-5)


@every_model
def test_seen_items_are_listed_on_request(name):
    """Without exclusion the best of all items are listed, seen or not."""
    data = some_touches(2, n=300)
    ranking = rank_everyone(fitted(name), data, 6, exclude_seen=False)
    for user in range(5):
        best = np.sort(fitted(name).score(data.history(user)))[::-1][:6]
        assert ranking.scores[user] == pytest.approx(best, rel=1e-4, abs=1e-5)


@every_model
def test_a_limit_beyond_the_catalogue_is_filled_up(name):
    """A longer list than there are items ends in -1 with -inf, after every unseen item."""
    data = some_touches(3, n=100)
    ranking = rank_everyone(fitted(name), data, N_ITEMS + 5)
    for user in range(N_USERS):
        unseen = N_ITEMS - len(data.history(user))
        assert sorted(ranking.items[user, :unseen].tolist()) == sorted(
            set(range(N_ITEMS)) - set(data.history(user).items.tolist())
        )
        assert (ranking.items[user, unseen:] == -1).all()
        assert np.isneginf(ranking.scores[user, unseen:]).all()


@every_model
def test_an_empty_history_has_a_documented_answer(name):
    """Models of taste say 0 of everything; popularity and the like say the same to everybody."""
    scores = fitted(name).score(NOBODY)
    assert scores.shape == (N_ITEMS,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores.any() == (name in KNOWS_WITHOUT_HISTORY)


@every_model
def test_scores_are_the_callers_own(name):
    """Writing into returned scores does not damage the model."""
    history = some_touches(4).history(0)
    before = fitted(name).score(history).copy()
    fitted(name).score(history)[:] = -1
    assert np.array_equal(fitted(name).score(history), before)


@every_model
def test_what_a_model_can_do_is_what_its_type_says(name):
    """All rank many at once; all but a few find similar items and give reasons."""
    model = fitted(name)
    assert isinstance(model, RanksEveryone)
    assert isinstance(model, FindsSimilar) == (name not in WITHOUT_NEIGHBOURS)
    assert isinstance(model, Explains) == (name not in WITHOUT_REASONS)


@finds_similar
def test_an_item_is_never_similar_to_itself(name):
    """Similar items are others, best first, each once, at most as many as asked for."""
    model = fitted(name)
    for item in range(N_ITEMS):
        for limit in (3, N_ITEMS + 5):
            found = model.similar(item, limit)
            assert item not in found.items
            assert len(found.items) == len(found.scores) <= min(limit, N_ITEMS - 1)
            assert len(set(found.items.tolist())) == len(found.items)
            assert (np.diff(found.scores) <= 0).all()
            assert np.isfinite(found.scores).all()


@explains
def test_contributions_add_up(name):
    """Each touch's parts of an item's score add up to the score, for items in any order."""
    model = fitted(name)
    history = some_touches(5).history(1)
    items = np.array([7, 0, 29, 3], np.int32)
    parts = model.contributions(history, items)
    assert parts.shape == (len(history), 4)
    assert parts.sum(axis=0) == pytest.approx(model.score(history)[items], rel=1e-3, abs=1e-4)
    assert model.contributions(NOBODY, items).shape == (0, 4)


@every_model
def test_progress_reaches_its_end(name):
    """If progress is reported at all, it never goes back and ends at the total."""
    seen = []
    component(name).fit(some_touches(), progress=lambda done, total: seen.append((done, total)))
    if seen:
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1][0] == seen[-1][1]


@every_model
def test_a_foreign_warm_start_is_harmless(name):
    """Being started from another kind of model is ignored."""
    other = fitted("popularity" if name != "popularity" else "trending")
    warm = component(name).fit(some_touches(), seed=1, warm_start=other)
    history = some_touches(6).history(0)
    assert warm.score(history) == pytest.approx(fitted(name).score(history), rel=1e-5, abs=1e-6)


@every_model
def test_nothing_to_learn_from_is_refused(name):
    """No touches, or no items, raise InvalidInput, except where behaviour is not learned from."""
    empty = Interactions.from_pairs([], [], n_users=3, n_items=N_ITEMS)
    if name in NEEDS_NO_TOUCHES:
        assert component(name).fit(empty).n_items == N_ITEMS
        return
    nothing = Interactions.from_pairs([], [], n_users=0, n_items=0)
    for data in (empty, nothing):
        with pytest.raises(InvalidInput, match="nothing to learn from"):
            component(name).fit(data)


@every_model
def test_the_smallest_worlds_work(name):
    """One touch by one person of one item is enough, and so is one person with all items."""
    for n_items, items in ((1, [0]), (2, [1]), (4, [0, 1, 2, 3])):
        data = Interactions.from_pairs([0] * len(items), items, n_users=1, n_items=n_items)
        model = component(name, n_items).fit(data)
        assert np.isfinite(model.score(data.history(0))).all()
        ranking = rank_everyone(model, data, 2)
        assert (ranking.items[0] >= 0).sum() == min(n_items - len(items), 2)
        if isinstance(model, FindsSimilar):
            assert 0 not in model.similar(0, 3).items


@every_model
def test_people_and_items_without_touches_do_no_harm(name):
    """Rows and columns that are empty give finite scores for everybody."""
    data = Interactions.from_pairs([0, 0, 3], [1, 2, 2], n_users=6, n_items=5)
    model = component(name, 5).fit(data)
    ranking = rank_everyone(model, data, 3)
    assert np.isfinite(ranking.scores[ranking.items >= 0]).all()
    assert (ranking.items[1] >= 0).all()


@every_model
def test_ranking_for_nobody_is_an_empty_ranking(name):
    """No people, no rows."""
    nobody = Interactions.from_pairs([], [], n_users=0, n_items=N_ITEMS)
    assert rank_everyone(fitted(name), nobody, 3).items.shape == (0, 3)


@every_model
@pytest.mark.parametrize(
    ("item", "weight"), [(N_ITEMS, 1.0), (-1, 1.0), (0, np.nan), (0, 0.0), (0, -1.0), (0, np.inf)]
)
def test_a_history_that_cannot_be_is_refused(name, item, weight):
    """Unseen items and weights that are no positive numbers raise InvalidInput."""
    history = History(
        np.array([item], np.int32), np.array([weight], np.float32), np.zeros(1, np.int64)
    )
    with pytest.raises(InvalidInput):
        fitted(name).score(history)
    if isinstance(fitted(name), Explains):
        with pytest.raises(InvalidInput):
            fitted(name).contributions(history, np.zeros(1, np.int32))


@every_model
def test_items_that_do_not_exist_are_refused(name):
    """Asking about an item outside the catalogue, or for no list at all, raises InvalidInput."""
    model = fitted(name)
    if isinstance(model, FindsSimilar):
        for item, limit in ((N_ITEMS, 3), (-1, 3), (0, 0)):
            with pytest.raises(InvalidInput):
                model.similar(item, limit)
    if isinstance(model, Explains):
        with pytest.raises(InvalidInput):
            model.contributions(NOBODY, np.array([N_ITEMS], np.int32))
    with pytest.raises(InvalidInput):
        rank_everyone(model, some_touches(), 0)


@every_model
def test_people_of_another_catalogue_are_refused(name):
    """Interactions that number other items raise InvalidInput."""
    model = fitted(name)
    assert isinstance(model, RanksEveryone)
    with pytest.raises(InvalidInput):
        model.rank(some_touches(n_items=N_ITEMS + 1), 3)
