"""Boosted regression trees as plain arrays: read from LightGBM's text, asked without LightGBM.

So a server needs no library that only training does. The sums are added tree by tree in double
precision, as LightGBM does, and come out the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from nextup.domain.errors import CorruptData, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BLOCK_ROWS = 4096  # of candidates at a time: the walk's arrays stay in cache


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """All trees' nodes in one numbering; a leaf is its own child, so that a walk may go on."""

    roots: NDArray[np.int32]  # (trees,)
    feature: NDArray[np.int32]  # (nodes,) 0 at a leaf
    threshold: NDArray[np.float64]  # (nodes,) left where the value is at most this
    children: NDArray[np.int32]  # (2 * nodes,) left and right of each node
    value: NDArray[np.float64]  # (nodes,) of a leaf; elsewhere the mean of the leaves below
    depth: int  # steps from a root to the farthest leaf
    n_features: int
    asked: frozenset[int] = field(init=False)  # the features that they split on

    def __post_init__(self) -> None:
        inner = np.isfinite(self.threshold)
        object.__setattr__(self, "asked", frozenset(self.feature[inner].tolist()))

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The trees' sum for each row, (n,)."""
        self._check(features)
        out = np.zeros(len(features))
        for start in range(0, len(features), BLOCK_ROWS):
            rows = features[start : start + BLOCK_ROWS]
            out[start : start + len(rows)] = self.value[self._walk(rows)].sum(axis=0)
        return out

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What each feature moved each row's score by on the way down the trees, (n, features).

        With the mean score over the training data it adds up to the score.
        """
        self._check(features)
        given = np.zeros((len(features), self.n_features))
        rows = np.arange(len(features))
        node = np.repeat(self.roots[:, None], len(features), axis=1)
        for _ in range(self.depth):
            below = self._step(features, node)
            moved = self.value[below] - self.value[node]
            for tree in range(len(self.roots)):
                given[rows, self.feature[node[tree]]] += moved[tree]
            node = below
        return given

    def _walk(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """The leaf of each tree for each row, (trees, n)."""
        node = np.repeat(self.roots[:, None], len(features), axis=1)
        for _ in range(self.depth):
            node = self._step(features, node)
        return node

    def _step(self, features: NDArray[np.float32], node: NDArray[np.int32]) -> NDArray[np.int32]:
        place = np.arange(len(features)) * features.shape[1] + self.feature[node]
        right = features.ravel()[place] > self.threshold[node]
        below: NDArray[np.int32] = self.children[2 * node + right]
        return below

    def _check(self, features: NDArray[np.float32]) -> None:
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise InvalidInput(
                f"The trees know {self.n_features} features, not the shape {features.shape}."
            )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From what LightGBM's `model_to_string` gives; numeric splits only, nothing missing.

        Raises CorruptData for anything else.
        """
        try:
            head, *trees = text.partition("end of trees")[0].split("\nTree=")
            n_features = int(_fields(head)["max_feature_idx"]) + 1
            parts = [_Tree.read(_fields(tree)) for tree in trees]
        except (KeyError, ValueError) as error:
            raise CorruptData(f"The ranker's trees cannot be read: {error}.") from error
        return cls._joined(parts, n_features)

    @classmethod
    def _joined(cls, trees: list[_Tree], n_features: int) -> Self:
        sizes = np.array([len(tree.value) for tree in trees], np.int64)
        roots = (np.cumsum(sizes) - sizes).astype(np.int32)
        together = zip(trees, roots.tolist(), strict=True)
        children = [tree.children + root for tree, root in together]
        return cls(
            roots,
            np.concatenate([np.empty(0, np.int32), *(tree.feature for tree in trees)]),
            np.concatenate([np.empty(0), *(tree.threshold for tree in trees)]),
            np.concatenate([np.empty(0, np.int32), *children]).astype(np.int32),
            np.concatenate([np.empty(0), *(tree.value for tree in trees)]),
            max((tree.depth for tree in trees), default=0),
            n_features,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """One tree: its inner nodes first, then its leaves."""

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    children: NDArray[np.int32]  # (2 * nodes,)
    value: NDArray[np.float64]
    depth: int

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Self:
        leaf_value = _floats(fields["leaf_value"])
        n_leaves = int(fields["num_leaves"])
        inner = n_leaves - 1
        if len(leaf_value) != n_leaves or int(fields.get("num_cat", "0")):
            raise ValueError("a tree with categories, or without its leaves")
        leaves = np.arange(inner, inner + n_leaves, dtype=np.int32)
        if inner == 0:
            return cls(*_no_splits(1), np.repeat(leaves, 2), leaf_value, 0)
        if set(fields["decision_type"].split()) - {"0", "2"}:  # <=, and nothing is missing
            raise ValueError("a split of another kind than <=")
        below = np.stack([_ints(fields["left_child"]), _ints(fields["right_child"])], axis=1)
        below = np.where(below < 0, inner + ~below, below).astype(np.int32)  # (inner, 2)
        no_feature, no_threshold = _no_splits(n_leaves)
        count = np.concatenate([np.zeros(inner), _floats(fields["leaf_count"])])
        value = np.concatenate([np.zeros(inner), leaf_value])
        depth = np.zeros(inner + n_leaves, np.int64)
        for node in _leaves_first(below):
            pair = below[node]
            count[node] = count[pair].sum()
            value[node] = value[pair] @ count[pair] / max(count[node], 1)
            depth[node] = depth[pair].max() + 1
        return cls(
            np.concatenate([_ints(fields["split_feature"]), no_feature]),
            np.concatenate([_floats(fields["threshold"]), no_threshold]),
            np.concatenate([below.ravel(), np.repeat(leaves, 2)]),
            value,
            int(depth[0]),
        )


def _leaves_first(below: NDArray[np.int32]) -> list[int]:
    """The inner nodes, every one after those below it."""
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += [child for child in below[node].tolist() if child < len(below)]
    return order[::-1]


def _no_splits(n_leaves: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    return np.zeros(n_leaves, np.int32), np.full(n_leaves, np.inf)


def _fields(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value for name, value in pairs}


def _floats(text: str) -> NDArray[np.float64]:
    return np.array(text.split(), np.float64)


def _ints(text: str) -> NDArray[np.int32]:
    return np.array(text.split(), np.int32)
