"""The folder that a recipe's deployment works in: what `nextup init --recipe` writes."""

from __future__ import annotations

import re
import secrets
import shutil
from importlib import import_module, resources
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from nextup.domain.errors import ConfigurationError, Conflict, InvalidInput
from nextup.recipes.container_env import with_containers
from nextup.settings import FILE_NAME
from nextup.settings_sources import ENV_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path
    from types import ModuleType

TEMPLATE: Final = "env.template"
_UNSET_PASSWORD: Final = re.compile(r"^([A-Z][A-Z0-9_]*_(?:PASSWORD|SECRET))=$", re.MULTILINE)
_NOT_WRITTEN: Final = ("__pycache__", TEMPLATE)
PASSWORD_BYTES: Final = 18


class Written(NamedTuple):
    """A deployment's new folder."""

    files: list[Path]
    secrets: Mapping[str, str]  # that were made up for it, and stand in its .env


def package_of(recipe: str) -> str:
    """Where a recipe's code and files are."""
    return f"nextup.recipes.{recipe.replace('-', '_')}"


def module_of(recipe: str, part: str) -> ModuleType | None:
    """A module of the recipe's code, such as its `router`; None where it has none, or there is no
    recipe."""
    name = f"{package_of(recipe)}.{part}"
    try:
        found = find_spec(name) if recipe else None
    except ModuleNotFoundError:  # not even the folder
        return None
    return import_module(name) if found else None


def recipes() -> list[str]:
    """Those that a folder can be made of, by name."""
    return sorted(
        one.name.replace("_", "-")
        for one in resources.files("nextup.recipes").iterdir()
        if one.is_dir() and (one / FILE_NAME).is_file()
    )


def write_folder(recipe: str, folder: Path) -> Written:
    """Write the recipe's files, and an .env with passwords of its own; an .env that is there
    already stays, and so do its passwords.

    Raises Conflict, having written nothing, where another file is there already, and InvalidInput
    for a recipe that there is not.
    """
    if recipe not in recipes():
        raise InvalidInput(
            f"There is no recipe '{recipe}'.", cure=f"Recipes: {', '.join(recipes())}."
        )
    source = resources.files(package_of(recipe))
    found = dict(_files(source))
    if taken := [name for name in found if (folder / name).exists()]:
        raise Conflict(
            f"{folder / taken[0]} exists already; the folder was left as it is.",
            cure="Name another folder.",
        )
    try:
        for name, file in found.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as stream, target.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
        made = _write_env(recipe, source / TEMPLATE, folder / ENV_FILE)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}.", cure="Choose another folder."
        ) from error
    return Written([folder / name for name in found], made)


def _files(place: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    """All that is not code of the package, by the path beneath it."""
    for one in sorted(place.iterdir(), key=lambda entry: entry.name):
        if one.name in _NOT_WRITTEN or (not above and one.name.endswith(".py")):
            continue
        if (one / "__init__.py").is_file():  # code that is a package of its own
            continue
        if one.is_dir():
            yield from _files(one, f"{above}{one.name}/")
        else:
            yield f"{above}{one.name}", one


def _write_env(recipe: str, template: Traversable, file: Path) -> dict[str, str]:
    if file.exists():
        return {}
    made: dict[str, str] = {}

    def fill(line: re.Match[str]) -> str:
        made[line[1]] = secrets.token_urlsafe(PASSWORD_BYTES)
        return f"{line[1]}={made[line[1]]}"

    own = template.read_text(encoding="utf-8") if template.is_file() else ""
    text = _UNSET_PASSWORD.sub(fill, with_containers(recipe, own))
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return made
