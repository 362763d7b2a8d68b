from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms import components, native
from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.als import FactorModel, ImplicitALS
from nextup.algorithms.models.explicit_als import ExplicitALS, RatingModel
from nextup.algorithms.native import twins
from nextup.domain.errors import InvalidInput


@pytest.fixture(params=["compiled", "twins"])
def backend(request, monkeypatch):
    """Run with the compiled kernels and with their twins."""
    kernels = native.compiled() if request.param == "compiled" else twins
    if kernels is None:
        pytest.skip("the kernels were not compiled")
    for module in (native, native.sparse):
        monkeypatch.setattr(module, "kernels", kernels)
    return request.param


def random_touches(n_users=60, n_items=40, nnz=900, seed=0) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, n_users - 1, nnz),  # the last person has touched nothing
        rng.integers(0, n_items - 1, nnz),  # nobody has touched the last item
        rng.uniform(0.3, 3, nnz),
        rng.integers(0, 10**9, nnz),
        n_users=n_users,
        n_items=n_items,
    )


def checkerboard(n_users=50, n_items=30, seed=0) -> Interactions:
    """Even people like even items and odd people odd ones; most of the pairs are known."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(np.add.outer(np.arange(n_users), np.arange(n_items)) % 2 == 0)
    known = rng.random(len(users)) < 0.6
    return Interactions.from_pairs(users[known], items[known], n_users=n_users, n_items=n_items)


def dense(touches: Interactions) -> np.ndarray:
    matrix = np.zeros((touches.n_users, touches.n_items))
    matrix[touches.users(), touches.items] = touches.weights
    return matrix


def best_rows(weights: np.ndarray, fixed: np.ndarray, config: ImplicitALS) -> np.ndarray:
    """The textbook: one dense solve per row."""
    unobserved = config.unobserved_weight
    offset = unobserved if config.confidence else 0
    shared = unobserved * fixed.T @ fixed
    rows = np.zeros((len(weights), fixed.shape[1]))
    for row, w in enumerate(weights):
        if w.any():
            frequency = w.sum() + unobserved * len(fixed)
            ridge = config.regularization * frequency**config.frequency_exponent
            system = shared + (fixed.T * w) @ fixed + ridge * np.eye(fixed.shape[1])
            rows[row] = np.linalg.solve(system, fixed.T @ (w + offset * (w > 0)))
    return rows


EXACT = {"steps": 60, "warm_up": 0}


def objective(model: FactorModel, touches: Interactions, config: ImplicitALS) -> float:
    """What training makes small, with the L2 weight scaled by frequency."""
    users, items = model.user_factors.astype(float), model.item_factors.astype(float)
    weights, unobserved = dense(touches), config.unobserved_weight
    scores = users @ items.T
    frequencies = (
        weights.sum(1) + unobserved * len(items),
        weights.sum(0) + unobserved * len(users),
    )
    ridge = sum(
        (config.regularization * frequency * (side**2).sum(1)).sum()
        for frequency, side in zip(frequencies, (users, items), strict=True)
    )
    return (weights * (1 - scores) ** 2).sum() + unobserved * (scores**2).sum() + ridge


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("factors", [1, 10, 16, 33])
@pytest.mark.parametrize("relaxation", [1.0, 1.7])
def test_training_is_that_of_the_textbook(confidence, exponent, factors, relaxation):
    """Three epochs give the predictions of a straightforward dense alternation to 1e-5."""
    touches = random_touches()
    config = ImplicitALS(
        factors=factors,
        confidence=confidence,
        frequency_exponent=exponent,
        regularization=0.02,
        iterations=3,
        relaxation=relaxation,
        **EXACT,
    )
    model = config.fit(touches, seed=5)
    weights = dense(touches)
    items = config._first_items(40, None, np.random.default_rng(5))[:, :factors].astype(float)
    users = np.zeros((60, factors))
    for reach in (1.0, relaxation, 1.0):
        users += reach * (best_rows(weights, items, config) - users)
        items += reach * (best_rows(weights.T, users, config) - items)
    users = best_rows(weights, items, config)
    assert model.user_factors @ model.item_factors.T == pytest.approx(users @ items.T, abs=1e-5)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("confidence", [False, True])
def test_folding_in_is_a_dense_solve(confidence):
    """A person's vector, one at a time or all at once, is the textbook's to 1e-5."""
    touches = random_touches()
    config = ImplicitALS(factors=20, confidence=confidence, unobserved_weight=0.3)
    model = config.fit(touches)
    expected = best_rows(dense(touches), model.item_factors.astype(float), config)
    assert model.user_matrix(touches) == pytest.approx(expected, abs=1e-5)
    for user in range(touches.n_users):
        vector = model.user_vector(touches.history(user))
        assert vector == pytest.approx(expected[user], abs=1e-5)


def test_an_item_is_folded_in_from_its_people():
    """An item's vector from its people is the textbook's, and zero without people."""
    touches = random_touches()
    config = ImplicitALS(factors=12)
    model = config.fit(touches)
    weights = dense(touches)
    expected = best_rows(weights.T, model.user_factors.astype(float), config)
    for item in (0, 7, 39):
        users = np.flatnonzero(weights[:, item]).astype(np.int32)
        vector = model.item_vector(users, weights[users, item].astype(np.float32))
        assert vector == pytest.approx(expected[item], abs=1e-5)
    with pytest.raises(InvalidInput, match="keep_users"):
        model.without_people().item_vector(users, np.ones(len(users), np.float32))
    with pytest.raises(InvalidInput, match="person"):
        model.item_vector(np.array([60], np.int32), np.ones(1, np.float32))


def test_two_steps_follow_exact_alternation():
    """With the default two steps the objective comes within two percent of the exact one."""
    touches = random_touches()
    exact = ImplicitALS(factors=16, regularization=0.01, iterations=8, **EXACT)
    quick = ImplicitALS(factors=16, regularization=0.01, iterations=8)
    reached, best = (objective(each.fit(touches), touches, each) for each in (quick, exact))
    assert reached < best * 1.02


def test_relaxation_saves_epochs():
    """Going further than each half-step's best, eight epochs come lower than twelve without."""
    touches = random_touches(n_users=300, n_items=200, nnz=9000)
    relaxed, plain = (
        ImplicitALS(factors=16, regularization=0.01, iterations=epochs, relaxation=relaxation)
        for epochs, relaxation in ((8, 1.7), (12, 1.0))
    )
    reached, otherwise = (objective(each.fit(touches), touches, each) for each in (relaxed, plain))
    assert reached < otherwise


@pytest.mark.usefixtures("backend")
def test_a_checkerboard_is_completed():
    """Each person is offered exactly the missing items of their own colour first."""
    touches = checkerboard()
    model = ImplicitALS(factors=2, iterations=20, regularization=0.01).fit(touches)
    seen = dense(touches) > 0
    ranking = model.rank(touches, 30)
    for user in range(touches.n_users):
        missing = {i for i in range(30) if (user + i) % 2 == 0 and not seen[user, i]}
        assert set(ranking.items[user, : len(missing)].tolist()) == missing
    for item in range(30):
        assert ((model.similar(item, 5).items + item) % 2 == 0).all()


def test_contributions_add_up_to_the_score():
    """The parts of the history's touches sum to the score of each item."""
    touches = random_touches()
    for confidence in (False, True):
        model = ImplicitALS(factors=16, confidence=confidence).fit(touches)
        items = np.array([3, 0, 39, 17], np.int32)
        for user in (0, 11, 59):
            history = touches.history(user)
            parts = model.contributions(history, items)
            assert parts.shape == (len(history), 4)
            assert parts.sum(axis=0) == pytest.approx(model.score(history)[items], abs=3e-5)


def test_rank_is_the_order_of_the_scores():
    """Ranking everyone gives what scoring one after another gives."""
    touches = random_touches()
    model = ImplicitALS(factors=16).fit(touches)
    ranking = model.rank(touches, 45)
    everything = model.rank(touches, 3, exclude_seen=False)
    for user in range(touches.n_users):
        history = touches.history(user)
        scores = model.score(history)
        assert everything.scores[user] == pytest.approx(np.sort(scores)[::-1][:3], abs=1e-5)
        unseen = np.setdiff1d(np.arange(40), history.items)
        found = ranking.items[user][: len(unseen)]
        assert np.array_equal(np.sort(found), unseen)
        assert (np.diff(scores[found]) <= 1e-5).all()
        assert (ranking.items[user][len(unseen) :] == -1).all()
        assert np.isneginf(ranking.scores[user][len(unseen) :]).all()


def test_a_saved_model_ranks_identically(tmp_path):
    """Read back, memory-mapped and read-only, the model gives the same bits."""
    touches = random_touches()
    model = ImplicitALS(factors=24, frequency_exponent=0.7, confidence=True).fit(touches)
    for name, array in model.arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.glob("*.npy")}
    loaded = FactorModel.from_arrays(arrays)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(model.rank(touches, 9), loaded.rank(touches, 9), strict=True)
    )
    history = touches.history(4)
    assert np.array_equal(model.score(history), loaded.score(history))
    assert np.array_equal(model.similar(4, 5).items, loaded.similar(4, 5).items)
    users = np.array([1, 5], np.int32)
    weights = np.ones(2, np.float32)
    assert np.array_equal(model.item_vector(users, weights), loaded.item_vector(users, weights))


def test_a_seed_decides_and_threads_do_not():
    """One thread or four, the same seed gives the same model; another seed another."""
    touches = random_touches(400, 90, 8000)
    one = ImplicitALS(threads=1).fit(touches, seed=3)
    four = ImplicitALS(threads=4).fit(touches, seed=3)
    assert np.array_equal(one.item_factors, four.item_factors)
    assert np.array_equal(one.rank(touches, 5).items, four.rank(touches, 5).items)
    assert not np.array_equal(one.item_factors, ImplicitALS().fit(touches, seed=4).item_factors)


def test_compiled_and_twin_train_the_same_model(monkeypatch):
    """A whole training without the compiled kernels predicts the same to 1e-4."""
    if native.compiled() is None:
        pytest.skip("the kernels were not compiled")
    touches = random_touches()
    config = ImplicitALS(factors=16, regularization=0.02, iterations=5)
    ours = config.fit(touches)
    for module in (native, native.sparse):
        monkeypatch.setattr(module, "kernels", twins)
    twin = config.fit(touches)
    scores = ours.user_factors @ ours.item_factors.T
    assert twin.user_factors @ twin.item_factors.T == pytest.approx(scores, abs=1e-4)


def test_a_warm_start_continues():
    """One epoch from a trained model stays near it, also when the catalogue has grown."""
    touches = random_touches()
    config = ImplicitALS(factors=16, regularization=0.02, iterations=30)
    trained = config.fit(touches)
    before = trained.rank(touches, 5, exclude_seen=False).scores
    once = ImplicitALS(factors=16, regularization=0.02, iterations=1)
    warm = once.fit(touches, seed=9, warm_start=trained)
    assert warm.rank(touches, 5, exclude_seen=False).scores == pytest.approx(before, abs=0.05)
    grown = Interactions(
        touches.indptr, touches.items, touches.weights, touches.times, touches.n_items + 3
    )
    assert once.fit(grown, warm_start=trained).n_items == 43
    other = ImplicitALS(factors=8, iterations=1)
    cold, ignored = other.fit(touches), other.fit(touches, warm_start=trained)
    assert np.array_equal(cold.item_factors, ignored.item_factors)


def test_larger_data_is_warmed_up_on_a_quarter_of_the_people():
    """The warm-up counts in the progress and is left out on small data and warm starts."""
    seen: list[tuple[int, int]] = []
    config = ImplicitALS(factors=8, iterations=2, warm_up=1)
    touches = random_touches(3000, 500, 230_000)
    model = config.fit(touches, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    config.fit(touches, warm_start=model, progress=lambda *at: seen.append(at))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n_users", "n_items"), [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_data_is_learned(n_users, n_items):
    """One person, one item, more factors than either: finite vectors, lists padded with -1."""
    touches = Interactions.from_pairs([0], [0], n_users=n_users, n_items=n_items)
    model = ImplicitALS(factors=64).fit(touches)
    assert np.isfinite(model.item_factors).all()
    ranking = model.rank(touches, 12)
    assert ranking.items.shape == (n_users, 12)
    assert (ranking.items[0] >= 0).sum() == n_items - 1
    assert len(model.similar(0, 5).items) == 0  # nothing else was ever touched
    assert model.score(touches.history(0))[0] > 0.5


def test_nobody_and_nothing():
    """No touches are refused; an empty history scores zero and explains nothing."""
    for n_users, n_items in ((0, 0), (3, 0), (0, 3), (3, 3)):
        with pytest.raises(InvalidInput, match="nothing to learn"):
            ImplicitALS().fit(Interactions.from_pairs([], [], n_users=n_users, n_items=n_items))
    model = ImplicitALS(factors=8).fit(random_touches())
    empty = History(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert not model.user_vector(empty).any()
    assert not model.score(empty).any()
    assert model.contributions(empty, np.array([1], np.int32)).shape == (0, 1)
    assert model.rank(Interactions.from_pairs([], [], n_users=0, n_items=40), 5).items.shape == (
        0,
        5,
    )


@pytest.mark.usefixtures("backend")
def test_what_a_history_may_not_hold():
    """Unknown items and weights that are not positive numbers are refused in words."""
    model = ImplicitALS(factors=8).fit(random_touches())
    for item, weight in ((40, 1.0), (-1, 1.0), (3, 0.0), (3, -1.0), (3, np.nan), (3, np.inf)):
        history = History(
            np.array([item], np.int32), np.array([weight], np.float32), np.zeros(1, np.int64)
        )
        with pytest.raises(InvalidInput):
            model.score(history)
        with pytest.raises(InvalidInput):
            model.contributions(history, np.array([1], np.int32))
    with pytest.raises(InvalidInput):
        model.similar(40, 3)
    with pytest.raises(InvalidInput):
        model.rank(random_touches(n_items=41), 3)
    with pytest.raises(InvalidInput):
        model.rank(random_touches(), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"factors": 0},
        {"regularization": 0.0},
        {"regularization": float("nan")},
        {"unobserved_weight": -0.1},
        {"iterations": 0},
        {"threads": -1},
        {"relaxation": 0.0},
        {"relaxation": 2.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    """A wrong setting is named when it is given, not when training fails."""
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        ImplicitALS(**wrong)


def test_the_model_has_the_optional_abilities():
    """Ranking everyone, finding the similar and explaining are recognised by their protocols."""
    model = ImplicitALS(factors=8).fit(random_touches())
    assert isinstance(model, components.RanksEveryone)
    assert isinstance(model, components.FindsSimilar)
    assert isinstance(model, components.Explains)


def stars(seed=0) -> tuple[Interactions, np.ndarray]:
    """Ratings 1 to 5 from biases and one hidden taste, half of the pairs known."""
    rng = np.random.default_rng(seed)
    truth = 3 + 0.5 * rng.standard_normal((80, 1)) + 0.5 * rng.standard_normal(50)
    truth = np.clip(truth + np.outer(rng.choice([-1, 1], 80), rng.choice([-0.7, 0.7], 50)), 1, 5)
    users, items = np.nonzero(rng.random(truth.shape) < 0.5)
    known = Interactions.from_pairs(users, items, truth[users, items], n_users=80, n_items=50)
    return known, truth


@pytest.mark.usefixtures("backend")
def test_stars_are_predicted():
    """Ratings that were never shown are predicted far better than by the mean."""
    known, truth = stars()
    model = ExplicitALS(factors=4, regularization=0.02, iterations=20).fit(known)
    every = np.arange(50, dtype=np.int32)
    predicted = np.stack([model.predict(known.history(user), every) for user in range(80)])
    hidden = dense(known) == 0
    error = np.sqrt(np.mean((predicted - truth)[hidden] ** 2))
    assert error < 0.35 * truth[hidden].std()
    assert predicted.min() >= known.weights.min()
    assert predicted.max() <= known.weights.max()


def test_explicit_fold_in_is_a_dense_solve():
    """A person's scores are those of the textbook's ridge regression to 1e-4."""
    known, _ = stars()
    model = ExplicitALS(factors=6).fit(known)
    history = known.history(7)
    y, bias = model.item_vectors[:, :6].astype(float), model.item_vectors[:, 6].astype(float)
    mean = model.scale[0]
    design = np.c_[y, np.ones(50)]
    touched = design[history.items]
    system = touched.T @ touched + 0.05 * len(history) * np.eye(7)
    x = np.linalg.solve(system, touched.T @ (history.weights - mean - bias[history.items]))
    assert model.score(history) == pytest.approx(mean + bias + design @ x, abs=1e-4)


def test_an_explicit_model_survives_storage_and_edges():
    """Saved and loaded it ranks the same; strangers get the mean and the items' biases."""
    known, _ = stars()
    model = ExplicitALS(factors=4).fit(known)
    loaded = RatingModel.from_arrays(model.arrays())
    assert np.array_equal(model.rank(known, 5).items, loaded.rank(known, 5).items)
    ranking = model.rank(known, 5, exclude_seen=False)
    expected = np.sort(model.score(known.history(3)))[::-1][:5]
    assert ranking.scores[3] == pytest.approx(expected, abs=1e-4)
    empty = History(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert model.score(empty) == pytest.approx(model.scale[0] + model.item_vectors[:, 4], abs=1e-5)
    warm = ExplicitALS(factors=4, iterations=1).fit(known, seed=8, warm_start=model)
    assert warm.rank(known, 3).scores == pytest.approx(model.rank(known, 3).scores, abs=0.2)
    with pytest.raises(InvalidInput):
        ExplicitALS().fit(Interactions.from_pairs([], [], n_users=2, n_items=2))
