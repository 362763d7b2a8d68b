"""The routes of the recipe that the settings name, beside those of /v1."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from nextup.domain.clients import Scope
from nextup.entrypoints.api.access import serving_of
from nextup.entrypoints.api.clients import token_router
from nextup.entrypoints.api.problems import problems
from nextup.recipes.parts import Parts

if TYPE_CHECKING:
    from fastapi import FastAPI

    from nextup.entrypoints.api.access import Doors
    from nextup.recipes.parts import Routers
    from nextup.settings import Settings


def include_recipe(app: FastAPI, doors: Doors, settings: Settings) -> None:
    """Mount them. A recipe without a router has none; no recipe, no routes."""
    module = f"nextup.recipes.{settings.recipe.replace('-', '_')}.router"
    if not settings.recipe or not _exists(module):
        return
    app.state.recipe = Parts(
        settings=settings,
        serving=serving_of,
        problems=problems,
        token_router=token_router,
        accounts=app.state.accounts,
        guard=app.state.guard,
    )
    routers: Routers = import_module(module).make_routers(app.state.recipe)
    if routers.public is not None:
        doors.include_public(routers.public)
    doors.include(routers.guarded, Scope.READ, Scope.WRITE)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the folder
        return False
