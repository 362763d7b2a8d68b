"""The hybrid re-ranker: learned from answered questions, in service where proven better.

Three steps, each of which has to earn its place on later questions that it has not seen, or on
other people's where all are of one moment: the fixed blend, which needs no data; the blend with
learned weights, for which few questions are enough; and trees on top of that one, which see all
features. Where nothing is proven the fixed blend's order stays, and the model says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from nextup.algorithms.evaluation.statistics import paired_difference
from nextup.algorithms.inputs import check_limit, check_not_negative, check_positive, check_share
from nextup.algorithms.reranking.boosted_trees import BoostedTrees
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.proof import proof_of, some_people, whose
from nextup.algorithms.reranking.traits import ItemTraits
from nextup.algorithms.reranking.weights import added, question_ndcg, weights_from
from nextup.domain.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.evaluation.statistics import Difference
    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.reranking.candidates import Candidates
    from nextup.algorithms.reranking.examples import Examples

STOP_SHARE = 0.3  # of the earlier people say when to stop; proof on them would flatter the trees
PATIENCE = 20  # trees without a gain for them before growing stops
BASE_SCALE = 5.0  # of the weighted shares (0..1) the trees start from, on LambdaMART's scale
MANY_ROWS = 20_000  # from here on LightGBM, where it is installed, is worth waking
THREADED_ROWS = 1_000_000  # with fewer its threads wait for each other longer than they work


@dataclass(frozen=True, slots=True)
class Reranker:
    """LambdaMART. The same examples and seed give the same model, whatever the threads."""

    name: ClassVar[str] = "reranker"

    trees: int = 300  # at most; growing stops where other people gain no more
    leaves: int = 15  # of each tree
    depth: int = 6  # splits on the way to a leaf, at most
    learning_rate: float = 0.05  # how far each tree goes
    min_leaf: int = 100  # candidates in a leaf, at least
    l2: float = 5.0  # pulls leaves to 0
    feature_share: float = 0.7  # of the features are tried by each tree
    cutoff: int = 10  # NDCG at this many places is learned, and decides
    min_questions: int = 100  # with a right and a wrong candidate; fewer teach nothing reliable
    confidence: float = 0.95  # that the trees are better than the fixed blend
    threads: int = 0  # on many rows; 0: all that this process may use

    def __post_init__(self) -> None:
        check_positive(
            trees=self.trees,
            depth=self.depth,
            learning_rate=self.learning_rate,
            min_leaf=self.min_leaf,
            feature_share=self.feature_share,
            min_questions=self.min_questions,
        )
        check_limit(self.cutoff)
        check_not_negative(l2=self.l2, threads=self.threads)
        check_share(feature_share=self.feature_share, confidence=self.confidence)
        if self.leaves < 2:
            raise InvalidInput(f"A tree needs at least 2 leaves, not {self.leaves}.")

    def fit(
        self,
        examples: Examples,
        features: RankingFeatures,
        statistics: ItemStatistics,
        *,
        seed: int = 0,
    ) -> FittedReranker:
        """Learn from the earlier questions, prove it on the latest, then learn from all.

        `statistics` are those that the ranker will be asked with. Raises ConfigurationError
        where LightGBM is not installed.
        """
        useful = examples.tell_apart
        learn = _lightgbm()
        blend = FittedReranker(features, statistics)
        count = int(useful.sum())
        if count < self.min_questions:
            return replace(
                blend,
                reason=f"the fixed blend: {count} questions of the past have a right and a wrong "
                f"candidate, {self.min_questions} are needed to learn from",
            )
        proof = proof_of(examples, useful, self.min_questions, seed)
        stop = ~proof & some_people(examples.users, STOP_SHARE, seed)
        parts = [examples.only(useful & ~proof & ~stop), examples.only(useful & stop)]
        later = examples.only(proof)
        if not all(len(part.sizes) for part in (*parts, later)):
            return replace(blend, reason="the fixed blend: there are too few people to prove more")
        rng = np.random.default_rng(seed)
        weights = weights_from(
            examples.only(useful & ~proof),
            features.share_columns,
            features.weights,
            cutoff=self.cutoff,
            rng=rng,
        )
        plain = replace(blend, base=BASE_SCALE * weights)
        tried = self._grow(learn, parts[0], plain, seed, watched=parts[1])
        candidates = {
            "learned weights": plain,
            "learned trees": replace(plain, trees=BoostedTrees.from_text(tried.model_to_string())),
        }
        gains = {name: self._gain(made, later, rng) for name, made in candidates.items()}
        best = max(gains, key=lambda name: gains[name].mean)
        gain = gains[best]
        said = (
            f"NDCG@{self.cutoff} {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) against "
            f"the fixed blend on {gain.n} {whose(examples, proof)} questions"
        )
        if not gain.is_better:
            return replace(blend, reason=f"the fixed blend: {best} are not better, {said}")
        plain = replace(plain, reason=f"{best}: {said}")
        if best == "learned weights":
            return plain
        grown = self._grow(learn, examples.only(useful), plain, seed, trees=tried.num_trees())
        text = grown.model_to_string()
        importance = np.asarray(grown.feature_importance("gain"), np.float64)
        return replace(
            plain,
            trees=BoostedTrees.from_text(text),
            text=text,
            importance=importance / max(importance.sum(), 1e-30),
        )

    def _grow(
        self,
        learn: Any,
        examples: Examples,
        base: FittedReranker,
        seed: int,
        *,
        watched: Examples | None = None,
        trees: int = 0,
    ) -> Any:
        params = self._params(seed, len(examples.labels))
        data = learn.Dataset(
            examples.features,
            examples.labels.astype(np.int8),
            group=examples.sizes,
            init_score=base.score(examples.features),
            feature_name=list(base.features.names),
            params=params,
            free_raw_data=True,
        )
        if watched is None:
            return learn.train(params, data, trees)
        other = learn.Dataset(
            watched.features,
            watched.labels.astype(np.int8),
            group=watched.sizes,
            init_score=base.score(watched.features),
            reference=data,
        )
        grown = learn.train(
            params,
            data,
            self.trees,
            valid_sets=[other],
            callbacks=[learn.early_stopping(PATIENCE, verbose=False)],
        )
        text = grown.model_to_string(num_iteration=max(grown.best_iteration, 1))
        return learn.Booster(model_str=text)

    def _params(self, seed: int, rows: int) -> dict[str, Any]:
        return {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [self.cutoff],
            "lambdarank_truncation_level": self.cutoff + 10,  # places that may still come up
            "num_leaves": self.leaves,
            "max_depth": self.depth,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_leaf,
            "lambda_l2": self.l2,
            "feature_fraction": self.feature_share,
            "max_bin": 127,
            "use_missing": False,  # features are always finite
            "seed": seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads if rows >= THREADED_ROWS else 1,
            "verbosity": -1,
        }

    def _gain(self, made: FittedReranker, later: Examples, rng: np.random.Generator) -> Difference:
        return paired_difference(
            question_ndcg(made.score(later.features), later, self.cutoff),
            question_ndcg(later.features[:, 0], later, self.cutoff),
            rng=rng,
            confidence=self.confidence,
        )


class Reranked(NamedTuple):
    """Candidates in their new order, best first, and the score that keeps them there."""

    items: NDArray[np.int32]  # (people, width), -1 behind the last
    scores: NDArray[np.float32]  # (people, width) on the blend's scale, descending; -inf by a -1
    order: NDArray[np.int64]  # (people, width) where each was among the candidates


@dataclass(frozen=True, slots=True, eq=False)
class FittedReranker:
    """Orders candidates. Immutable and safe to share between threads."""

    name: ClassVar[str] = "reranker"

    features: RankingFeatures
    statistics: ItemStatistics  # of the items, as of the last training
    base: NDArray[np.float64] | None = None  # (sources,) learned weights; None: the fixed blend
    trees: BoostedTrees | None = None  # on top of the learned weights
    text: str = ""  # the trees in LightGBM's own words
    importance: NDArray[np.float64] | None = None  # (features,) adding up to 1
    reason: str = "the fixed blend: nothing was learned"

    @property
    def learned(self) -> bool:
        """Whether something learned decides, not the fixed blend."""
        return self.base is not None

    @property
    def _decisive(self) -> Collection[int]:
        """The features that its scores come from."""
        if self.base is None:
            return (0,)
        return {*self.features.share_columns, *(() if self.trees is None else self.trees.asked)}

    @property
    def n_items(self) -> int:
        """How many items it knows; others count as new."""
        return len(self.statistics.people)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """A score for each row of features, (n,), comparable within one person's candidates."""
        if self.base is None:
            return features[:, 0].astype(np.float64)
        base = added(features[:, list(self.features.share_columns)].T, self.base)
        return base if self.trees is None else base + self._tree_scores(self.trees, features)

    def _tree_scores(
        self, trees: BoostedTrees, features: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        if self.text and len(features) >= MANY_ROWS and _is_installed():
            booster = _lightgbm().Booster(model_str=self.text)
            scores = booster.predict(features, num_threads=1)  # the same to the last bit
            return np.asarray(scores, np.float64)
        return trees.score(features)

    def order(self, candidates: Candidates, people: Interactions, moment: int) -> NDArray[np.int64]:
        """Each person's candidates from the best on, (people, width), as `rerank` orders them.

        Learned weights ask for nothing but the shares, so nothing else is computed for them.
        """
        if self.base is None or self.trees is not None:
            features = self.features.of(
                candidates, people, self.statistics, moment, wanted=self._decisive
            )
            return self.rerank(candidates, features).order
        scores = np.where(candidates.real, added(candidates.shares, self.base), -np.inf)
        return np.argsort(-scores, axis=1, kind="stable")

    def rerank(self, candidates: Candidates, features: NDArray[np.float32]) -> Reranked:
        """Bring each person's candidates, looked at by `RankingFeatures.of`, into order.

        Scores stay those of the blend, given out anew in the learned order, so that whatever
        follows (diversity, a threshold) finds the scale it knows.
        """
        real = candidates.real
        scores = np.full(real.shape, -np.inf)
        scores[real] = self.score(features[real])
        order = np.argsort(-scores, axis=1, kind="stable")
        blend = -np.sort(-candidates.blend(self.features.weights), axis=1)
        return Reranked(np.take_along_axis(candidates.items, order, axis=1), blend, order)

    def importances(self) -> dict[str, float]:
        """How much each feature has to say, the most telling first; empty without trees."""
        if self.importance is None:
            return {}
        order = np.argsort(-self.importance, kind="stable")
        return {self.features.names[place]: float(self.importance[place]) for place in order}

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What each feature did to each row's score, (n, features); the blend has one: itself.

        Up to a number that is the same for all rows they add up to the score.
        """
        given = np.zeros(features.shape)
        if self.trees is not None:
            given = self.trees.contributions(features)
        if self.base is None:
            given[:, 0] = features[:, 0]
        else:
            columns = list(self.features.share_columns)
            given[:, columns] += features[:, columns] * self.base
        return given

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Everything, texts as bytes."""
        stored: dict[str, NDArray[np.generic]] = {
            "sources": np.array(list(self.features.sources)),
            "weights": np.array(list(self.features.weights), np.float64),
            "limits": np.array([self.features.depth, self.features.pool], np.int64),
            "traits": np.array(list(self.features.traits), np.str_),
            "text": np.frombuffer(self.text.encode(), np.uint8),
            "reason": np.frombuffer(self.reason.encode(), np.uint8),
            "base": np.empty(0) if self.base is None else self.base,
            "importance": np.empty(0) if self.importance is None else self.importance,
        }
        parts = {"items": self.statistics.arrays()}
        parts |= {f"trait_{n}": t.arrays() for n, t in enumerate(self.features.traits.values())}
        for part, arrays in parts.items():
            stored |= {f"{part}.{name}": values for name, values in arrays.items()}
        return stored

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`; needs no LightGBM."""
        traits = {
            name: ItemTraits.from_arrays(_part(arrays, f"trait_{number}"))
            for number, name in enumerate(arrays["traits"].tolist())
        }
        depth, pool = arrays["limits"].tolist()
        sources, weights = arrays["sources"].tolist(), arrays["weights"].tolist()
        text = arrays["text"].tobytes().decode()
        return cls(
            RankingFeatures(tuple(sources), tuple(weights), traits, depth, pool),
            ItemStatistics.from_arrays(_part(arrays, "items")),
            np.asarray(arrays["base"], np.float64) if len(arrays["base"]) else None,
            BoostedTrees.from_text(text) if text else None,
            text,
            np.asarray(arrays["importance"], np.float64) if len(arrays["importance"]) else None,
            arrays["reason"].tobytes().decode(),
        )


def _part(
    arrays: Mapping[str, NDArray[np.generic]], part: str
) -> Mapping[str, NDArray[np.generic]]:
    start = f"{part}."
    return {
        name.removeprefix(start): values
        for name, values in arrays.items()
        if name.startswith(start)
    }


def _lightgbm() -> Any:
    try:
        return import_module("lightgbm")
    except ImportError as error:
        raise ConfigurationError(
            "The learned ranker needs LightGBM.", cure="pip install 'nextup[ranker]'"
        ) from error
    except OSError as error:  # its library wants OpenMP's
        raise ConfigurationError(
            f"LightGBM cannot be loaded: {error}.", cure="Install the OpenMP runtime (libgomp1)."
        ) from error


def _is_installed() -> bool:
    try:
        _lightgbm()
    except ConfigurationError:
        return False
    return True
