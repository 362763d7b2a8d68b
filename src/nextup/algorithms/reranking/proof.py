"""Which questions teach a ranker, and which others have to prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.reranking.examples import Examples

PROOF_SHARE = 0.3  # of the people prove it where all questions are of one moment


def proof_of(
    examples: Examples, useful: NDArray[np.bool_], min_questions: int, seed: int
) -> NDArray[np.bool_]:
    """The questions of the latest moment; where they or the earlier are few, some people's."""
    latest = examples.moments == examples.moments.max()
    if min((useful & latest).sum(), (useful & ~latest).sum()) >= min_questions / 4:
        return np.asarray(latest)
    return some_people(examples.users, PROOF_SHARE, seed + 1)  # others than those who stop it


def whose(examples: Examples, proof: NDArray[np.bool_]) -> str:
    """How the questions that prove differ from those that teach."""
    later = examples.moments[proof].min() > examples.moments[~proof].max()
    return "later" if later else "other people's"


def some_people(users: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """All questions of a share of the people, drawn by the seed."""
    people = np.unique(users)
    chosen = people[np.random.default_rng(seed).random(len(people)) < share]
    return np.isin(users, chosen)
