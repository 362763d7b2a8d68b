"""Reference pages from the code: settings, commands, event contracts, lake tables, the API."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import typer.main

from nextup.domain.tables import Table
from nextup.entrypoints.cli.app import app
from nextup.schemas.table_schemas import table_schema
from nextup.services.settings_reference import reference, section_meanings

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_reference(folder: Path) -> None:
    """Write every generated page into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "events.md": events_page(),
        "tables.md": tables_page(),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def settings_page() -> str:
    """Every key of nextup.toml, with its environment variable."""
    lines = [
        "# Settings",
        "",
        "Each key of `nextup.toml`, its default, and the environment variable that overrides it.",
    ]
    meanings = {"": "", **section_meanings()}
    section = None
    for one in reference():
        if one.section != section:
            section = one.section
            lines += ["", f"## {f'[{section}]' if section else 'Top level'}", "", meanings[section]]
            lines += ["", "| key | default | meaning | variable |", "|---|---|---|---|"]
        meaning = one.meaning.replace("|", "\\|")
        lines.append(f"| `{one.key}` | `{one.default}` | {meaning} | `{one.variable}` |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = ["# Commands", "", "`--json` prints one JSON document on standard output."]
    for path, command in _commands(typer.main.get_command(app), "nextup"):
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            continue
        lines += ["", f"## {path}", "", (command.help or "").strip(), ""]
        lines += ["| parameter | meaning |", "|---|---|"]
        lines += [_parameter_row(parameter) for parameter in command.params]
    return "\n".join(lines) + "\n"


def events_page() -> str:
    """What each event type must look like, from the JSON Schemas that check it."""
    lines = ["# Events", "", "The JSON Schemas of `nextup/schemas/events`, which the door itself reads."]
    folder = resources.files("nextup") / "schemas" / "events"
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if not entry.name.endswith(".json"):
            continue
        schema = json.loads(entry.read_text(encoding="utf-8"))
        lines += ["", f"## {schema.get('title', entry.name)}", "", schema.get("description", ""), ""]
        lines += ["| field | required | meaning |", "|---|---|---|"]
        required = set(schema.get("required", ()))
        for name, field in schema["properties"].items():
            asked = "yes" if name in required else ""
            lines.append(f"| `{name}` | {asked} | {field.get('description', '')} |")
    return "\n".join(lines) + "\n"


def tables_page() -> str:
    """Every table of the lake, from the YAML schemas that check it."""
    lines = ["# Lake tables", "", "The YAML of `nextup/schemas/lakehouse`, which the lake itself reads."]
    for table in Table:
        schema = table_schema(table)
        lines += ["", f"## {table.value}", "", schema.description, ""]
        lines += ["| column | type | nullable | meaning |", "|---|---|---|---|"]
        for column in schema.columns:
            nullable = "yes" if column.nullable else ""
            lines.append(f"| `{column.name}` | {column.type} | {nullable} | {column.description} |")
    return "\n".join(lines) + "\n"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(child, f"{path} {name}")


def _parameter_row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return f"| {names} | {(getattr(parameter, 'help', '') or '').replace('|', '/')} |"
