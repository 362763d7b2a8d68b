"""The data contracts as one page for people, made from the very schemas that check the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextup.domain.events import EventType
from nextup.schemas.table_schemas import Column, TableSchema, table_schemas, use_cases
from nextup.services.event_schemas import event_schema
from nextup.services.raw_files import FOLDER, OPTIONAL, REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nextup.settings import Contracts
    from nextup.settings_servers import KafkaLog

INTRODUCTION = """\
# Data contracts

What may enter the lake, what each table promises, and what happens when a promise is broken. This
page is printed by `nextup contracts` from `nextup/schemas`, which the code itself checks by; a test
holds it equal."""


def contracts_document(contracts: Contracts, kafka: KafkaLog) -> str:
    """The page, in Markdown, with the bounds and topics of these settings."""
    lines = [
        INTRODUCTION,
        *_use_cases(),
        *_raw_files(),
        *_events(contracts, kafka),
        *_tables(),
    ]
    return "\n".join(lines) + "\n"


def _use_cases() -> Iterator[str]:
    yield from ("", "## Use cases", "")
    yield _row("", "what", "route", "reads", "changed by", "kept")
    yield _row(*["---"] * 6)
    for one in use_cases():
        reads = ", ".join(f"`{table}`" for table in one.reads)
        changed = ", ".join(one.changed_by)
        what = f"**{one.title}.** {one.answers}"
        yield _row(one.name, what, f"`{one.route}`", reads, changed, one.kept)


def _raw_files() -> Iterator[str]:
    yield from ("", "## Raw files", "")
    yield f"`{FOLDER}/<data set>/`, byte for byte as published, beside `_manifest.json`: data set,"
    yield "URL, time of fetching, and of each file name, bytes, rows and SHA-256."
    yield from ("", _row("file", "begins with", "must be there"), _row("---", "---", "---"))
    for name, head in (REQUIRED | OPTIONAL).items():
        yield _row(f"`{name}`", f"`{head}`", "yes" if name in REQUIRED else "")
    yield ""
    yield "**On failure** nothing is written where the source lacks a file or has another header;"
    yield "`nextup bronze validate` names what is missing or changed and exits with 1."


def _events(contracts: Contracts, kafka: KafkaLog) -> Iterator[str]:
    yield from ("", "## Events", "")
    yield "JSON, over HTTP or in a topic. **On failure** the caller gets a 4xx with the rule; a"
    yield "message goes whole to the dead-letter topic, and from there to `bronze.quarantine`."
    for kind in EventType:
        schema = event_schema(kind, contracts)
        topic = kafka.topics.get(kind.value)
        yield from ("", f"### {schema['title']} (`{kind.value}`)", "", schema["description"], "")
        where = f", topic `{topic}`" if topic else ""
        yield f"Schema: `schemas/events/{kind.value}_event.schema.json`{where}."
        yield from ("", _row("field", "rule", "required"), _row("---", "---", "---"))
        for name, field in schema["properties"].items():
            required = "yes" if name in schema["required"] else ""
            yield _row(f"`{name}`", _field_rule(field), required)


def _tables() -> Iterator[str]:
    yield from ("", "## Tables", "")
    yield "Delta tables `<layer>/<name>` of the lake."
    for schema in table_schemas().values():
        yield from ("", f"### {schema.table}", "", schema.description, "")
        yield _row("column", "type", "rules", "meaning")
        yield _row(*["---"] * 4)
        for column in schema.columns:
            rules = "; ".join(_column_rules(column))
            yield _row(f"`{column.name}`", str(column.type), rules, column.description)
        yield ""
        yield from _table_rules(schema)
        if schema.on_failure:
            yield f"- **On failure:** {schema.on_failure}"


def _column_rules(column: Column) -> Iterator[str]:
    if not column.nullable:
        yield "not null"
    if column.min is not None or column.max is not None:
        yield _range(column.min, column.max)
    if column.one_of:
        yield f"one of {', '.join(column.one_of)}"
    if column.references is not None:
        yield f"is in `{column.references[0]}`"


def _table_rules(schema: TableSchema) -> Iterator[str]:
    yield f"- **Key:** {', '.join(f'`{name}`' for name in schema.key)}; no two rows have the same."
    if schema.freshness is not None:
        hours = schema.freshness.within.total_seconds() / 3600
        yield f"- **Freshness:** the newest `{schema.freshness.column}` is at most {hours:g} h old."
    if schema.min_rows:
        yield f"- **Volume:** at least {schema.min_rows:,} rows."
    for rule, share in schema.tolerate.items():
        yield f"- **Tolerated:** `{rule}` for up to {share:.0%} of the rows; it is reported."


def _field_rule(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("format") == "date-time":
        return "date and time, with a time zone (RFC 3339)"
    if field["type"] == "number":
        return f"number from {field['minimum']:g} to {field['maximum']:g}"
    if field["type"] == "string":
        length = f"{field['minLength']} to {field['maxLength']}"
        return f"text of {length} characters, no control characters"
    return f"{field['type']} of at most {field['maxProperties']} entries"


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g} to {high:g}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
