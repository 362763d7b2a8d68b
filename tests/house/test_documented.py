"""Whatever a person can set or call is explained."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import pytest
import typer.main

from nextup.algorithms.models.by_name import component
from nextup.entrypoints.cli.app import app
from nextup.services.settings_reference import SettingReference, example_toml, reference
from nextup.settings import load_settings


@pytest.mark.parametrize("setting", reference(), ids=lambda one: f"{one.section}.{one.key}")
def test_every_setting_says_what_it_means(setting: SettingReference) -> None:
    """A setting has a comment beside its default, which the manual shows."""
    assert len(setting.meaning) >= 8


def test_the_example_file_is_the_defaults(tmp_path: Path) -> None:
    """Uncommenting every line of a fresh nextup.toml changes nothing."""
    lines = example_toml().splitlines()
    active = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)
    tomllib.loads(active)
    (tmp_path / "nextup.toml").write_text(active, encoding="utf-8")
    fresh, spelled_out = load_settings(tmp_path / "nowhere"), load_settings(tmp_path)
    assert spelled_out.model_dump(exclude={"models"}) == fresh.model_dump(exclude={"models"})
    for name, settings in spelled_out.models.items():
        assert component(name, **settings) == component(name, **fresh.models[name])


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    for name, child in getattr(command, "commands", {}).items():
        found += _commands(child, f"{path} {name}")
    return found


COMMANDS = _commands(typer.main.get_command(app), "nextup")


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_and_option_has_help(path: str, command: click.Command) -> None:
    """`--help` leaves nothing unexplained."""
    assert command.help
    unexplained = [
        parameter.name for parameter in command.params if not getattr(parameter, "help", None)
    ]
    assert unexplained == []


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_speaks_to_machines(path: str, command: click.Command) -> None:
    """Each command that answers has `--json`."""
    if getattr(command, "commands", None) or path == "nextup serve":  # groups; and one that stays
        return
    assert any("--json" in parameter.opts for parameter in command.params), path
