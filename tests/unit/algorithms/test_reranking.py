from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.metrics import ndcg
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.reranking import reranker as reranking
from nextup.algorithms.reranking.candidates import Candidates
from nextup.algorithms.reranking.examples import Examples
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.reranker import FittedReranker, Reranker
from nextup.algorithms.reranking.traits import ItemTraits
from nextup.algorithms.reranking.weights import question_ndcg
from nextup.domain.errors import ConfigurationError, InvalidInput

NOW = 1000
WIDTH = 20
TRAITS = ItemTraits.of(sparse.csr_array(np.eye(6, 3, dtype=np.float32)))
FEATURES = RankingFeatures(("loud", "wise"), (1.0, 0.1), {"genres": TRAITS})
PAST = Interactions.from_pairs([0, 1], [0, 1], None, [1, 2], n_users=2, n_items=6)
STATISTICS = ItemStatistics.before(PAST, NOW)
SMALL = Reranker(trees=30, min_leaf=20, threads=1)


def examples_of(questions, *, told, moments=2, seed=0):
    """Two of twenty candidates are right: the wise source's best ("plainly"), those it gives
    middling scores ("crookedly"), or any ("not")."""
    rng = np.random.default_rng(seed)
    shape = (questions, WIDTH)
    loud, quiet = rng.random(shape).astype(np.float32), rng.random(shape).astype(np.float32)
    truth = {"plainly": -quiet, "crookedly": np.abs(quiet - 0.5), "not": rng.random(shape)}[told]
    right = np.argsort(np.argsort(truth, axis=1), axis=1) < 2
    blend = loud + np.float32(0.1) * quiet
    values = np.zeros((*shape, len(FEATURES.names)), np.float32)
    for name, column in (("blend", blend), ("loud.share", loud), ("wise.share", quiet)):
        values[..., FEATURES.names.index(name)] = column
    values[..., -1] = rng.random(shape)
    return Examples(
        values.reshape(-1, values.shape[2]),
        right.ravel(),
        np.full(questions, WIDTH),
        np.full(questions, 2),
        np.arange(questions) // moments,
        np.arange(questions) % moments,
    )


@pytest.fixture(scope="module")
def learned():
    pytest.importorskip("lightgbm", reason="the extra `ranker` is not installed")
    return SMALL.fit(examples_of(300, told="crookedly"), FEATURES, STATISTICS)


def gain(fitted, fresh):
    """NDCG over the fixed blend's on questions that nobody learned from."""
    ours = question_ndcg(fitted.score(fresh.features), fresh, 10).mean()
    return ours - question_ndcg(fresh.features[:, 0], fresh, 10).mean()


def test_trees_find_what_no_weights_can(learned):
    """Where middling scores of a source are right, trees learn it, prove it and say so."""
    assert learned.learned
    assert learned.reason.startswith("learned trees: NDCG@10 +")
    assert next(iter(learned.importances())) == "wise.share"
    assert gain(learned, examples_of(100, told="crookedly", seed=9)) > 0.3


def test_weights_are_enough_where_a_source_is_right():
    """A source that is simply right gets the weight, and the model says it is weights."""
    pytest.importorskip("lightgbm", reason="the extra `ranker` is not installed")
    fitted = SMALL.fit(examples_of(300, told="plainly"), FEATURES, STATISTICS)
    assert fitted.reason.startswith("learned weights: NDCG@10 +")
    assert fitted.base[1] > 5 * fitted.base[0]
    assert fitted.importances() == {}
    fresh = examples_of(100, told="plainly", seed=9)
    assert gain(fitted, fresh) > 0.3
    again = FittedReranker.from_arrays(fitted.arrays())
    assert np.array_equal(again.score(fresh.features), fitted.score(fresh.features))
    assert fitted.contributions(fresh.features).sum(axis=1) == pytest.approx(
        fitted.score(fresh.features)
    )


def test_noise_teaches_nothing():
    """Where no feature knows more than the blend, the blend stays, with the figures."""
    pytest.importorskip("lightgbm", reason="the extra `ranker` is not installed")
    fitted = SMALL.fit(examples_of(300, told="not"), FEATURES, STATISTICS)
    assert not fitted.learned
    assert fitted.reason.startswith("the fixed blend: learned ")
    assert "not better" in fitted.reason
    assert fitted.importances() == {}


@pytest.mark.parametrize("moments", [1, 2])
def test_few_questions_leave_the_blend(moments):
    """Below the least number of questions the fixed blend ranks, and says how many there were."""
    pytest.importorskip("lightgbm", reason="the extra `ranker` is not installed")
    few = examples_of(99, told="crookedly", moments=moments)
    fitted = SMALL.fit(few, FEATURES, STATISTICS)
    assert not fitted.learned
    assert "99 questions" in fitted.reason
    assert "100 are needed" in fitted.reason
    assert fitted.score(few.features) == pytest.approx(few.features[:, 0])
    enough = SMALL.fit(examples_of(200, told="crookedly", moments=moments), FEATURES, STATISTICS)
    assert enough.learned


def test_questions_that_teach_nothing_do_not_count():
    """Questions without a right candidate, however many, are too few to learn from."""
    pytest.importorskip("lightgbm", reason="the extra `ranker` is not installed")
    examples = examples_of(200, told="crookedly")
    mute = examples._replace(labels=np.zeros_like(examples.labels))
    assert "0 questions" in SMALL.fit(mute, FEATURES, STATISTICS).reason


def test_the_same_seed_gives_the_same_trees(learned):
    """Again, and with more threads: the same text, bit for bit; another seed, another text."""
    examples = examples_of(300, told="crookedly")
    assert SMALL.fit(examples, FEATURES, STATISTICS).text.startswith("tree")
    for threads in (1, 2):
        again = Reranker(trees=30, min_leaf=20, threads=threads)
        assert trees_of(again.fit(examples, FEATURES, STATISTICS)) == trees_of(learned)
    assert trees_of(SMALL.fit(examples, FEATURES, STATISTICS, seed=1)) != trees_of(learned)


def trees_of(fitted):
    return fitted.text.partition("end of trees")[0]


@pytest.mark.parametrize("kind", ["learned", "blend"])
def test_stored_and_read_it_ranks_identically(kind, request, tmp_path, monkeypatch):
    """Through files, memory-mapped, on a machine without LightGBM."""
    fitted = FittedReranker(FEATURES, STATISTICS)
    if kind == "learned":
        fitted = request.getfixturevalue("learned")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    for name, values in fitted.arrays().items():
        np.save(tmp_path / f"{name}.npy", values, allow_pickle=False)
    files = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.glob("*.npy")}
    again = FittedReranker.from_arrays(files)
    fresh = examples_of(50, told="crookedly", seed=4)
    assert np.array_equal(again.score(fresh.features), fitted.score(fresh.features))
    assert again.reason == fitted.reason
    assert again.importances() == fitted.importances()
    assert again.features.names == FEATURES.names
    assert again.n_items == 6
    asked = (two_people(), PAST, again.statistics, NOW)
    assert np.array_equal(again.features.of(*asked), FEATURES.of(*asked))


def test_both_ways_to_walk_the_trees_agree(learned, monkeypatch):
    """LightGBM's own sums and those without it are the same to the last bit."""
    fresh = examples_of(60, told="crookedly", seed=5)
    ours = learned.score(fresh.features)
    monkeypatch.setattr(reranking, "MANY_ROWS", 1)
    assert np.array_equal(learned.score(fresh.features), ours)


def two_people():
    shares = np.array([[[1, 0.5, 0.2], [0.3, 0, 0]], [[0, 0.5, 1], [0, 1, 0]]], np.float32)
    items = np.array([[3, 2, 4], [5, 1, -1]], np.int32)
    shares[:, 1, 2] = 0
    return Candidates(items, shares, np.zeros(shares.shape, np.int32)).best((1.0, 0.1), 3)


def test_reranking_keeps_items_and_scale(learned):
    """The same candidates in a new order, with the blend's scores given out anew."""
    candidates = two_people()
    done = learned.rerank(candidates, FEATURES.of(candidates, PAST, STATISTICS, NOW))
    assert candidates.items[0, 0] == 3
    assert done.items[0, 0] == 2  # the wise source's middling score
    assert sorted(done.items[0].tolist()) == [2, 3, 4]
    assert sorted(done.items[1].tolist()) == [-1, 1, 5]
    assert done.items[1, 2] == -1
    assert done.scores[0] == pytest.approx([1.0, 0.55, 0.3])
    assert done.scores[1, 2] == -np.inf
    assert np.array_equal(np.take_along_axis(candidates.items, done.order, axis=1), done.items)


def test_without_learning_the_blend_ranks():
    """A ranker that learned nothing leaves the candidates in the blend's order."""
    candidates = two_people()
    fitted = FittedReranker(FEATURES, STATISTICS)
    done = fitted.rerank(candidates, FEATURES.of(candidates, PAST, STATISTICS, NOW))
    assert np.array_equal(done.items, candidates.items)


def test_contributions_add_up(learned):
    """What the features did to a score and the mean score make the score."""
    fresh = examples_of(20, told="crookedly", seed=6)
    given = learned.contributions(fresh.features)
    rest = learned.score(fresh.features) - given.sum(axis=1)
    assert rest == pytest.approx(np.full(len(rest), rest[0]), abs=1e-9)
    blend = FittedReranker(FEATURES, STATISTICS).contributions(fresh.features)
    assert blend.sum(axis=1) == pytest.approx(fresh.features[:, 0])


def test_question_ndcg_is_the_metrics():
    """The figure that decides is the one that evaluation reports."""
    rng = np.random.default_rng(0)
    examples = examples_of(30, told="not")
    scores = rng.random(len(examples.labels))
    order = np.argsort(-scores.reshape(30, WIDTH), axis=1).astype(np.int32)
    rows, items = np.nonzero(examples.labels.reshape(30, WIDTH))
    truth = Interactions.from_pairs(rows, items, n_users=30, n_items=WIDTH)
    expected = ndcg(Ranking(order, np.zeros(order.shape, np.float32)), truth, 10)
    assert question_ndcg(scores, examples, 10) == pytest.approx(expected)


def test_missing_lightgbm_names_its_cure(monkeypatch):
    """Learning without the extra fails with the words that install it."""
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nextup\[ranker\]'"):
        SMALL.fit(examples_of(300, told="crookedly"), FEATURES, STATISTICS)


@pytest.mark.parametrize(
    "wrong", [{"trees": 0}, {"leaves": 1}, {"feature_share": 1.5}, {"cutoff": 0}, {"l2": -1.0}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    """Each with an error that names it or the cure."""
    with pytest.raises(InvalidInput):
        Reranker(**wrong)
