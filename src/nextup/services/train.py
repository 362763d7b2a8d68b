"""Train: every component on the same matrix, first on the past alone to be judged, then on all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from nextup import __version__
from nextup.algorithms.models import by_name as models
from nextup.algorithms.models.content import ItemTerms, title_words
from nextup.domain.errors import Conflict, InvalidInput
from nextup.services.factorize import fit_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextup.algorithms.components import Component, Fitted
    from nextup.algorithms.interactions import Interactions
    from nextup.ports.engine import Engine, Kept
    from nextup.services.dataset import ItemFacts
    from nextup.settings import Settings

    Report = Callable[[str, int, int], None]
    """Called as `report(what, done, total)`."""

POPULARITY = "popularity"  # always trained: the floor under every list, and what the gate asks for
TRENDING = "trending"  # counted live, not trained


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained and how it is blended; equal recipes on equal data give equal models."""

    components: Mapping[str, Mapping[str, Any]]  # each one's settings, by name
    blend: Mapping[str, float]  # each one's weight in a list
    reranker: Mapping[str, Any] = field(default_factory=dict)  # how an order is learned over the
    # blend; empty: it is not

    @classmethod
    def from_settings(cls, settings: Settings) -> Recipe:
        """The models that `[blend]` gives a weight, and popularity as the floor.

        Raises InvalidInput for a weight without a model, and for a model without one.
        """
        trained = {POPULARITY: {}, **settings.models}
        blend = {name: weight for name, weight in settings.blend.items() if name != TRENDING}
        for name in sorted({*blend} ^ {*trained}):
            if blend.get(name, 1.0) > 0:
                there, lacking = ("blend", "models") if name in blend else ("models", "blend")
                raise InvalidInput(
                    f"'{name}' is in [{there}] of the settings but not in [{lacking}].",
                    cure=f"Name it in both, or set its weight in [blend] to 0; models are "
                    f"{', '.join(models.names())}.",
                )
        used = {name: weight for name, weight in blend.items() if weight > 0 or name == POPULARITY}
        return cls({name: trained[name] for name in used}, used, _reranker(settings))

    @classmethod
    def from_lineage(cls, made: Mapping[str, Any]) -> Recipe:
        """What a model's lineage says that it was made by."""
        return cls(made["components"], made["blend"], made.get("reranker", {}))

    @property
    def fingerprint(self) -> str:
        """Equal for equal recipes, short enough to read aloud."""
        parts = [self.components, self.blend, self.reranker]
        text = msgspec.json.encode(parts, order="sorted")
        return hashlib.sha256(text).hexdigest()[:8]


def fit_all(
    recipe: Recipe,
    interactions: Interactions,
    items: ItemFacts,
    *,
    seed: int,
    threads: int = 0,
    engine: Engine | None = None,
    warm_start: Mapping[str, Fitted] | None = None,
    report: Report | None = None,
    kept: Kept | None = None,
) -> dict[str, Fitted]:
    """Fit every component of the recipe on the same people and items.

    Those that the engine is able to train are trained there, and kept in a folder of their name
    where `kept` says so. Raises Conflict where there is
    nothing to learn from.
    """
    if not len(interactions):
        raise Conflict("There is nothing to learn from yet.", cure="Ingest events, then refine.")
    fitted: dict[str, Fitted] = {}
    for name, given in recipe.components.items():
        fitted[name] = fit_with(
            engine,
            _component(name, given, items, threads),
            interactions,
            seed=seed,
            warm_start=(warm_start or {}).get(name),
            progress=_progress(report, name),
            kept=kept and kept._replace(place=f"{kept.place}/{name}"),
        )
    return fitted


def _component(name: str, given: Mapping[str, Any], items: ItemFacts, threads: int) -> Component:
    """The configured component; the content model also gets what the items say."""
    extra: dict[str, Any] = {}
    if name == "content":
        extra["features"] = item_terms(items)
    known = models.settings_of(name)
    if "threads" in known:  # no part of the recipe: results do not depend on it
        extra["threads"] = threads
    if "keep_users" in known:  # folding in serves known people and new ones alike
        extra["keep_users"] = False
    return models.component(name, **{**extra, **given})


def item_terms(items: ItemFacts) -> ItemTerms:
    """The words by which items are alike."""
    return ItemTerms.from_tokens(
        {
            "genres": items.genres,
            "makers": items.makers,
            "keywords": items.keywords,
            "title": [title_words(title) for title in items.titles],
        }
    )


def lineage(settings: Settings, recipe: Recipe, **facts: Any) -> dict[str, Any]:
    """What a model was made from, so that it can be made again."""
    return {
        "code_version": __version__,
        "seed": settings.seed,
        "recipe": {
            "components": recipe.components,
            "blend": recipe.blend,
            "reranker": recipe.reranker,
        },
        "weights": settings.weights.model_dump(),
        "gate": settings.gate.model_dump(),
        **facts,
    }


def _reranker(settings: Settings) -> dict[str, Any]:
    """How an order is learned; empty where the settings say that none shall be."""
    given = settings.reranker
    if given.mode == "off":
        return {}
    depth = max(settings.recommend.candidates, settings.recommend.list_depth)
    cutoff, days = settings.gate.k, settings.gate.test_days  # what the gate asks is learned
    return {
        **given.model_dump(exclude={"mode"}),
        "cutoff": cutoff,
        "days": days,
        "depth": depth,
    }


def _progress(report: Report | None, name: str) -> Callable[[int, int], None] | None:
    if report is None:
        return None
    return lambda done, total: report(name, done, total)
