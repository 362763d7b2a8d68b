"""A recipe as TOML: `[models.*]` and `[blend]`, as in the nextup.toml, read and written.

Writing keeps the rest of the file as it is: comments, order and other keys.
"""

from __future__ import annotations

import os
import tomllib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextup.algorithms.models import by_name as known_models
from nextup.domain.errors import ConfigurationError, InvalidInput, NotFound
from nextup.services.train import POPULARITY, TRENDING, Recipe
from nextup.settings import BLEND, MODELS, Reranker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from nextup.ports.control import Control
    from nextup.settings import Settings

CONFIGURED = "configured"


def recipe_named(what: str, settings: Settings, control: Control) -> Recipe:
    """`configured`, a TOML file, a model of the registry, or one kind of model by itself.

    Raises NotFound naming what there is, and InvalidInput for a file that is no recipe.
    """
    if what == CONFIGURED:
        return Recipe.from_settings(settings)
    if what.endswith(".toml"):
        return recipe_of_text(_read(settings.home / what), settings, what)
    record = control.model(what)
    if record is not None:
        return Recipe.from_lineage(record.lineage["recipe"])
    if what in known_models.MODELS or what in known_models.SHORT_NAMES:
        return Recipe({what: settings.models.get(what, {})}, {what: 1.0})
    raise NotFound(
        f"There is no recipe '{what}'.",
        cure=f"Name '{CONFIGURED}', a TOML file, a model of `nextup model list`, or one of "
        f"{', '.join(known_models.names())}.",
    )


def recipe_of_text(text: str, settings: Settings, name: str = "The recipe") -> Recipe:
    """The recipe that a nextup.toml with this text means; other keys have no part in it."""
    try:
        given = tomllib.loads(text)
        blend = {str(key): float(value) for key, value in given.get("blend", {}).items()}
        models = {str(key): dict(value) for key, value in given.get("models", {}).items()}
        reranker = Reranker(**given.get("reranker", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{name} is no recipe: {error}.",
            cure="It has tables [models.*], [blend] and [reranker].",
        ) from error
    if not blend and not models and "reranker" not in given:
        raise InvalidInput(f"{name} has neither [models.*] nor [blend].")
    changed = {
        "models": {**MODELS, **models},
        "blend": {**BLEND, **blend},
        "reranker": reranker,
    }
    return Recipe.from_settings(settings.model_copy(update=changed))


def recipe_tables(recipe: Recipe, settings: Settings) -> dict[str, dict[str, Any]]:
    """What the nextup.toml must say for this recipe to be the configured one.

    Models that have no part in it get the weight 0; trending, which is counted live, keeps its
    share.
    """
    named = {*BLEND, *settings.blend, *settings.models, *recipe.blend}
    weights = {name: round(recipe.blend.get(name, 0.0), 4) for name in sorted(named)}
    weights[TRENDING] = settings.blend.get(TRENDING, 0.0)
    tables = {
        name: dict(given)
        for name, given in recipe.components.items()
        if given or name != POPULARITY
    }
    return {"models": tables, "blend": weights}


def recipe_text(recipe: Recipe, settings: Settings) -> str:
    """The same as TOML."""
    return _over("", recipe_tables(recipe, settings))


def write_recipe(recipe: Recipe, settings: Settings, file: Path) -> None:
    """Put the recipe into the file, which appears under its name as a whole or not at all."""
    before = _read(file) if file.exists() else ""
    after = _over(before, recipe_tables(recipe, settings))
    fresh = file.with_name(f".{file.name}.new")
    with fresh.open("w", encoding="utf-8") as out:
        out.write(after)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _over(text: str, tables: Mapping[str, Mapping[str, Any]]) -> str:
    toml = _tomlkit()
    document = toml.parse(text)
    for name, given in tables["models"].items():
        if "models" not in document:
            document["models"] = toml.table(is_super_table=True)
        document["models"][name] = given
    if "blend" not in document:
        document["blend"] = toml.table()
    for name, weight in tables["blend"].items():
        document["blend"][name] = weight
    return str(toml.dumps(document))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {file}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.") from error


def _tomlkit() -> ModuleType:
    try:
        return import_module("tomlkit")
    except ImportError as error:
        raise ConfigurationError(
            "Writing settings needs tomlkit.", cure="pip install 'nextup[tune]'"
        ) from error
