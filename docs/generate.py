"""Reference pages from the code: settings, commands, contracts, tables, the API, metrics."""

from __future__ import annotations

import json
import re
import tempfile
from importlib import resources
from typing import TYPE_CHECKING, Any

import typer.main

from nextup.adapters.online_state.memory import MemoryOnlineState
from nextup.bootstrap import open_platform
from nextup.domain import errors
from nextup.domain.tables import Table
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.metrics import Metrics
from nextup.entrypoints.cli.app import app
from nextup.entrypoints.worker_metrics import ScheduleMetrics, StreamMetrics
from nextup.schemas.table_schemas import table_schema
from nextup.services import contracts
from nextup.services.settings_reference import reference, section_meanings
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


def write_reference(folder: Path) -> None:
    """Write every generated page into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text("\n".join(make()) + "\n", encoding="utf-8")


def settings_page() -> Iterator[str]:
    """Every key of nextup.toml, with its environment variable."""
    yield from ("# Settings", "")
    yield "Each key of `nextup.toml`, its default, and the environment variable that overrides it."
    meanings = {"": "", **section_meanings()}
    section = None
    for one in reference():
        if one.section != section:
            section = one.section
            yield from ("", f"## {f'[{section}]' if section else 'Top level'}", "")
            yield from (meanings[section], "", *_head("key", "default", "meaning", "variable"))
        yield _row(f"`{one.key}`", f"`{one.default}`", one.meaning, f"`{one.variable}`")


def commands_page() -> Iterator[str]:
    """Every command with its arguments and options."""
    yield from ("# Commands", "", "`--json` prints one JSON document on standard output. The exit")
    yield "status is 0 for success, 2 for a wrong argument or input, 1 for any other error, and 130"
    yield "after Ctrl-C."
    for path, command in _commands(typer.main.get_command(app), "nextup"):
        if getattr(command, "commands", None) is not None:
            continue
        yield from ("", f"## {path}", "", (command.help or "").strip())
        if command.params:
            yield from ("", *_head("parameter", "meaning"))
        for one in command.params:
            names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
            yield _row(names, getattr(one, "help", "") or "")


def events_page() -> Iterator[str]:
    """What each event type must look like, from the JSON Schemas that check it."""
    yield from ("# Events", "")
    yield "The JSON Schemas of `nextup/schemas/events`, which the door itself reads."
    folder = resources.files("nextup") / "schemas" / "events"
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if not entry.name.endswith(".json"):
            continue
        schema = json.loads(entry.read_text(encoding="utf-8"))
        yield from ("", f"## {schema['title']}", "", schema["description"])
        yield from ("", *_head("field", "type", "required", "meaning"))
        required = set(schema["required"])
        for name, field in schema["properties"].items():
            kind = f"`{json.dumps(field['const'])}`" if "const" in field else field["type"]
            yield _row(f"`{name}`", kind, "yes" if name in required else "", field["description"])


def rules_page() -> Iterator[str]:
    """The rules of the contract, from the docstring of the module that asks them."""
    yield from ("# Rules of the contract", "")
    yield "The first rule that a record breaks names its rejection, in this order."
    yield from ("", *_head("rule", "broken when"))
    for name, meaning in re.findall(r"^`(\w+)` +(.+)$", contracts.__doc__ or "", re.MULTILINE):
        yield _row(f"`{name}`", meaning)
    yield _row("`bad_row`", "a line of an imported file is no row: columns or quotes do not fit")
    yield _row("`bad_item`", "a row of an imported item file has no usable id")
    yield from ("", "Silver adds rules of its tables' schemas, named `column.rule`.")


def errors_page() -> Iterator[str]:
    """The errors that callers meet, and their HTTP status."""
    yield from ("# Errors", "")
    yield "Every error says what happened and what to do next: in one line on the command line, as"
    yield "a problem document (RFC 9457, `application/problem+json`) over HTTP."
    yield from ("", *_head("error", "HTTP status", "meaning"))
    for name, one in vars(errors).items():
        if isinstance(one, type) and issubclass(one, errors.NextupError):
            meaning = (one.__doc__ or "").splitlines()[0]
            yield _row(f"`{name}`", str(one.status), meaning)


def tables_page() -> Iterator[str]:
    """Every table of the lake, from the YAML schemas that check it."""
    yield from ("# Lake tables", "")
    yield "The YAML of `nextup/schemas/lakehouse`, which the lake itself reads."
    for table in Table:
        schema = table_schema(table)
        yield from ("", f"## {table.value}", "", schema.description)
        yield from ("", *_head("column", "type", "nullable", "meaning"))
        for column in schema.columns:
            nullable = "yes" if column.nullable else ""
            yield _row(f"`{column.name}`", str(column.type), nullable, column.description)


def api_page() -> Iterator[str]:
    """Every route, from the OpenAPI document."""
    yield from ("# HTTP API", "")
    yield "The same document that a server gives at `/openapi.json` and shows at `/docs`."
    for path, methods in _openapi()["paths"].items():
        for method, operation in methods.items():
            about = operation.get("description") or operation.get("summary", "")
            yield from ("", f"## {method.upper()} {path}", "", " ".join(about.split()))
            parameters = operation.get("parameters", ())
            if parameters:
                yield from ("", *_head("parameter", "in", "meaning"))
            for one in parameters:
                yield _row(f"`{one['name']}`", one["in"], one.get("description", ""))
            yield from ("", *_head("answer", "meaning"))
            for status, answer in operation["responses"].items():
                yield _row(status, answer.get("description", ""))


def metrics_page() -> Iterator[str]:
    """What each process tells Prometheus, from the metrics themselves."""
    yield from ("# Metrics", "", "What each process tells, in Prometheus' text format.")
    stream = StreamMetrics(MemoryOnlineState)
    for title, registry in (
        ("The server: `GET /metrics`", Metrics().registry),
        ("`nextup stream`: `metrics.stream_port`", stream.registry),
        ("`nextup schedule`: `metrics.schedule_port`", ScheduleMetrics().registry),
    ):
        yield from ("", f"## {title}", "", *_head("name", "kind", "labels", "meaning"))
        yield from _metrics_of(registry)


def _metrics_of(registry: Any) -> Iterator[str]:
    for collector in dict.fromkeys(registry._collector_to_names):  # there is no public list
        labels = ", ".join(f"`{name}`" for name in getattr(collector, "_labelnames", ()))
        for family in getattr(collector, "describe", collector.collect)():
            suffix = "_total" if family.type == "counter" else ""
            yield _row(f"`{family.name}{suffix}`", family.type, labels, family.documentation)


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "api.md": api_page,
    "events.md": events_page,
    "rules.md": rules_page,
    "tables.md": tables_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
}


def _openapi() -> Mapping[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_platform(load_settings(folder)) as platform,
    ):
        return create_app(platform).openapi()


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(child, f"{path} {name}")


def _head(*names: str) -> Iterable[str]:
    return (_row(*names), "|" + "---|" * len(names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
