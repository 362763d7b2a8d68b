"""Which models there are, by name; a model's module is imported when it is asked for."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from nextup.algorithms.components import Component, Fitted


class Entry(NamedTuple):
    """Where a model lives, both classes in one module of this package."""

    module: str
    component: str
    fitted: str


MODELS: dict[str, Entry] = {
    "popularity": Entry("popularity", "Popularity", "PopularityModel"),
    "trending": Entry("trending", "Trending", "TrendingModel"),
    "implicit_als": Entry("als", "ImplicitALS", "FactorModel"),
    "explicit_als": Entry("explicit_als", "ExplicitALS", "RatingModel"),
    "item_item": Entry("item_item", "ItemItem", "ItemItemModel"),
    "ease": Entry("ease", "Ease", "EaseModel"),
    "sparse_ease": Entry("sparse_ease", "SparseEase", "SparseEaseModel"),
    "spectral": Entry("spectral", "Spectral", "SpectralModel"),
    "covisitation": Entry("covisitation", "Covisitation", "CovisitationModel"),
    "next_item": Entry("next_item", "NextItem", "NextItemModel"),
    "blend": Entry("blending", "Blend", "BlendModel"),
    "content": Entry("content", "Content", "ContentModel"),
}
SHORT_NAMES = {"als": "implicit_als"}


def names() -> tuple[str, ...]:
    """Every model's name."""
    return tuple(MODELS)


def component(name: str, **settings: object) -> Component:
    """A model's configuration, with its defaults where a setting is not given.

    Raises InvalidInput for an unknown name or setting, naming the known ones, and for a value
    the model refuses.
    """
    made = component_class(name)
    known = settings_of(name)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InvalidInput(
            f"{name} has no setting {', '.join(unknown)}.",
            cure=f"It has {', '.join(known) if known else 'none'}.",
        )
    try:
        return made(**settings)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"A setting of {name} cannot be used: {error}.") from error


def settings_of(name: str) -> tuple[str, ...]:
    """The names of a model's settings."""
    made = component_class(name)
    if dataclasses.is_dataclass(made):
        return tuple(field.name for field in dataclasses.fields(made) if field.init)
    return tuple(getattr(made, "model_fields", ()))  # a pydantic model


def component_class(name: str) -> type[Component]:
    """The class of a model's configuration."""
    entry = _entry(name)
    return cast("type[Component]", getattr(_module(entry), entry.component))


def fitted_class(name: str) -> type[Fitted]:
    """The class that a stored model of this name is read back with."""
    entry = _entry(name)
    return cast("type[Fitted]", getattr(_module(entry), entry.fitted))


def _entry(name: str) -> Entry:
    entry = MODELS.get(SHORT_NAMES.get(name, name))
    if entry is None:
        raise InvalidInput(f"There is no model {name!r}.", cure=f"There are {', '.join(MODELS)}.")
    return entry


def _module(entry: Entry) -> object:
    return import_module(f"nextup.algorithms.models.{entry.module}")
