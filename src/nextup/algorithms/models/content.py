"""What an item says about itself: TF-IDF over its genres, makers, keywords and title words.

The one model that can place an item nobody has touched yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np
from scipy import sparse

from nextup.algorithms.components import Neighbours
from nextup.algorithms.inputs import (
    check_history,
    check_item,
    check_items,
    check_not_negative,
    check_people,
)
from nextup.algorithms.lists.selection import best_items, rank_in_blocks
from nextup.algorithms.models.emphasis import Emphasis
from nextup.algorithms.sparse_rows import entries_of, products
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Progress, Ranking
    from nextup.algorithms.interactions import History, Interactions

WORD = re.compile(r"\w+")
FREQUENT_SHARE = 0.005  # of the items; a term that more of them have counts as frequent


@dataclass(frozen=True, slots=True, eq=False)
class ItemTerms:
    """How often each term occurs in each field of each item; a field's terms are its own."""

    counts: Mapping[str, sparse.csr_array]  # field -> (n_items, n_terms of the field), float32

    @classmethod
    def from_tokens(cls, fields: Mapping[str, Sequence[Iterable[str]]]) -> Self:
        """From plain lists of tokens per item; tokens are compared without regard to case.

        Every field lists all items in the same order; an item may have no tokens. Raises
        InvalidInput for fields of different lengths, or none.
        """
        sizes = {name: len(items) for name, items in fields.items()}
        if len(set(sizes.values())) != 1:
            raise InvalidInput(f"Every field must list the same items; there are {sizes}.")
        return cls({name: _counted(items) for name, items in fields.items()})

    @property
    def n_items(self) -> int:
        """How many items are described."""
        return int(next(iter(self.counts.values())).shape[0])


@dataclass(frozen=True, slots=True)
class Content:
    """Nothing is learned from behaviour, so no touches are needed, nor a seed or warm start."""

    name: ClassVar[str] = "content"

    features: ItemTerms | None = None  # what the items say; must be given before fitting
    genres: float = 1.0  # share of the field in the likeness of two items
    makers: float = 1.0  # likewise
    keywords: float = 1.0  # likewise
    title: float = 0.3  # likewise; any other field counts 1
    weighted: bool = True  # use confidences; False: every touch alike

    def __post_init__(self) -> None:
        check_not_negative(
            genres=self.genres, makers=self.makers, keywords=self.keywords, title=self.title
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> ContentModel:
        """Raises InvalidInput without features, or with those of another catalogue."""
        del seed, warm_start, progress
        if self.features is None:
            raise InvalidInput(
                "The content model was given no features of the items.",
                cure="Pass features=ItemTerms.from_tokens(...).",
            )
        check_people(interactions, self.features.n_items)
        shares = {
            "genres": self.genres,
            "makers": self.makers,
            "keywords": self.keywords,
            "title": self.title,
        }
        parts = [
            _unit_rows(_tf_idf(counts)) * np.float32(np.sqrt(shares.get(field, 1.0)))
            for field, counts in self.features.counts.items()
        ]
        terms = _unit_rows(sparse.csr_array(sparse.hstack(parts, format="csr")))
        terms.sort_indices()
        return ContentModel(terms, Emphasis(weighted=self.weighted))


class _TermsByFrequency(NamedTuple):
    """The transposed term matrix in two parts."""

    frequent: NDArray[np.int64]  # which terms
    rare: NDArray[np.int64]
    dense: NDArray[np.float32]  # (frequent terms, n_items)
    sparse: sparse.csr_array  # (rare terms, n_items)


@dataclass(frozen=True, eq=False)  # without slots: it keeps what ranking for everybody derives
class ContentModel:
    """Scores are cosines to the history's items, added up; an empty history scores 0."""

    name: ClassVar[str] = "content"

    terms: sparse.csr_array  # (n_items, n_terms), rows of length 1, or 0 without any term
    emphasis: Emphasis

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return int(self.terms.shape[0])

    def score(self, history: History) -> NDArray[np.float32]:
        """The emphasised sum of the cosines to each item of the history, (n_items,)."""
        check_history(history, self.n_items)
        own = entries_of(self.terms, history.items)
        said = own.value * self.emphasis.of(history)[own.row]
        profile = np.bincount(own.column, said, self.terms.shape[1])  # (n_terms,)
        return np.asarray(self.terms @ profile.astype(np.float32), np.float32)

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """The same for many people, (n_users, n_items)."""
        profiles = sparse.csr_array(self.emphasis.matrix(interactions) @ self.terms)
        terms = self._terms_by_frequency
        scores = np.asarray(profiles[:, terms.frequent].toarray() @ terms.dense, np.float32)
        few = profiles[:, terms.rare] @ terms.sparse
        starts = np.arange(len(scores)) * self.n_items
        places = np.repeat(starts, np.diff(few.indptr)) + few.indices
        scores.ravel()[places] += few.data  # each place occurs once
        return scores

    @cached_property
    def _terms_by_frequency(self) -> _TermsByFrequency:
        """Terms of many items as a dense matrix, which BLAS multiplies; a sparse product of them
        would fill every score again and again. The many terms of few items stay sparse."""
        having = np.bincount(self.terms.indices, minlength=self.terms.shape[1])
        often = having > FREQUENT_SHARE * self.n_items
        frequent, rare = np.flatnonzero(often), np.flatnonzero(~often)
        return _TermsByFrequency(
            frequent,
            rare,
            np.ascontiguousarray(self.terms[:, frequent].toarray().T, np.float32),
            sparse.csr_array(self.terms[:, rare].T),
        )

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The items most like each person's own."""
        check_people(interactions, self.n_items)
        return rank_in_blocks(self.score_many, interactions, limit, exclude_seen=exclude_seen)

    def similar(self, item: int, limit: int) -> Neighbours:
        """By cosine; only items that share a term with this one."""
        check_item(item, self.n_items)
        cosine = (self.terms @ self.terms[[item]].T).toarray()[:, 0]
        cosine[item] = 0
        found = best_items(cosine.astype(np.float32), limit, allowed=cosine > 0)
        return Neighbours(found.items, np.minimum(found.scores, 1))

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): each touch's part of each item's score; columns add up to it."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        own, theirs = entries_of(self.terms, history.items), entries_of(self.terms, items)
        cosine = products(own, theirs, (len(history), len(items)))
        return cosine * self.emphasis.of(history)[:, None]

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The arrays of the term matrix, and the emphasis."""
        return {
            "indptr": self.terms.indptr,
            "terms": self.terms.indices,
            "values": self.terms.data,
            "n_terms": np.array([self.terms.shape[1]]),
            "emphasis": self.emphasis.array(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        shape = (len(arrays["indptr"]) - 1, int(arrays["n_terms"].tolist()[0]))
        terms = sparse.csr_array((arrays["values"], arrays["terms"], arrays["indptr"]), shape=shape)
        return cls(terms, Emphasis.from_array(arrays["emphasis"]))


def title_words(title: str) -> list[str]:
    """The words of a title; frequent ones lose their say by their document frequency alone."""
    return WORD.findall(title.casefold())


def _counted(items: Sequence[Iterable[str]]) -> sparse.csr_array:
    columns: dict[str, int] = {}
    found = [
        (row, columns.setdefault(token.casefold(), len(columns)))
        for row, tokens in enumerate(items)
        for token in tokens
    ]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return sparse.csr_array(
        (np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])),
        shape=(len(items), len(columns)),
    )


def _tf_idf(counts: sparse.csr_array) -> sparse.csr_array:
    n_items, n_terms = counts.shape
    having = np.bincount(counts.indices, minlength=n_terms)  # items that have the term
    rarity = np.log((1 + n_items) / (1 + having)) + 1.0
    value = (1.0 + np.log(counts.data)) * rarity[counts.indices]
    return sparse.csr_array(
        (value.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
    )


def _unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    norm = np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, matrix.shape[0]))
    scale = np.divide(1.0, norm, out=np.zeros(len(norm)), where=norm > 0)
    value = (matrix.data * scale[rows]).astype(np.float32)
    return sparse.csr_array((value, matrix.indices, matrix.indptr), shape=matrix.shape)
