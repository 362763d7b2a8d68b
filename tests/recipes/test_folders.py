"""What `nextup init --recipe` writes, for every recipe."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from nextup.domain.errors import ConfigurationError, Conflict, InvalidInput
from nextup.recipes.folders import recipes, write_folder
from nextup.recipes.options import options_of
from nextup.recipes.pipelines import pipelines_of
from nextup.settings import Settings, load_settings
from nextup.settings_servers import Section

if TYPE_CHECKING:
    from pathlib import Path

every_recipe = pytest.mark.parametrize("recipe", recipes())


@every_recipe
def test_a_folder_is_a_deployment(recipe: str, tmp_path: Path) -> None:
    """Its settings can be read and name the recipe, and its pipelines are there."""
    written = write_folder(recipe, tmp_path / "place")
    settings = load_settings(tmp_path / "place")
    assert settings.recipe == recipe
    assert pipelines_of(settings)
    names = {file.relative_to(tmp_path / "place").as_posix() for file in written.files}
    assert {"nextup.toml", "Makefile", "README.md"} <= names
    assert not [name for name in names if "__pycache__" in name or name == "env.template"]


@every_recipe
def test_passwords_are_made_once(recipe: str, tmp_path: Path) -> None:
    """Each deployment has its own, in a file that only its owner reads; none is left empty."""
    first, second = (write_folder(recipe, tmp_path / name).secrets for name in ("one", "two"))
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] and len(first[name]) > 20 for name in first)
    env = tmp_path / "one" / ".env"
    if first:
        assert stat.S_IMODE(env.stat().st_mode) == 0o600
        assert first.items() <= dotenv_values(env).items()


@every_recipe
def test_a_folder_in_use_is_left_alone(recipe: str, tmp_path: Path) -> None:
    """Nothing in it changes."""
    (tmp_path / "nextup.toml").write_text("seed = 1\n")
    with pytest.raises(Conflict):
        write_folder(recipe, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["nextup.toml"]


@every_recipe
def test_targets_are_one_line(recipe: str, tmp_path: Path) -> None:
    """A recipe's chores are commands that can be typed as well."""
    write_folder(recipe, tmp_path)
    recipes_of: dict[str, int] = {}
    target = ""
    for line in (tmp_path / "Makefile").read_text().splitlines():
        if found := re.match(r"^([a-z][a-z0-9_-]*):(?!=)", line):
            target = found[1]
        elif line.startswith("\t") and not line.endswith("\\"):
            recipes_of[target] = recipes_of.get(target, 0) + 1
    assert recipes_of
    assert {name: lines for name, lines in recipes_of.items() if lines > 1} == {}


def test_no_such_recipe(tmp_path: Path) -> None:
    """The answer names those that there are."""
    with pytest.raises(InvalidInput, match="pizza"):
        write_folder("pizza", tmp_path)


class Shop(Section):
    """Some recipe's own settings."""

    shelves: int = 3


def test_options() -> None:
    """They are checked against what the recipe says there is."""
    assert options_of(Settings(), Shop).shelves == 3
    assert options_of(Settings(options={"shelves": "7"}), Shop).shelves == 7  # the environment's
    with pytest.raises(ConfigurationError, match=r"options\.shelf") as error:
        options_of(Settings(options={"shelf": 7}), Shop)
    assert "shelves" in error.value.cure
    with pytest.raises(ConfigurationError, match=r"options\.shelves"):
        options_of(Settings(options={"shelves": "many"}), Shop)
