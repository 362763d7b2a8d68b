"""`nextup contracts`: what may enter the lake, and what its tables promise."""

from __future__ import annotations

import typer

from nextup.entrypoints.cli.output import HERE, Home, Json, Output


def register(root: typer.Typer) -> None:
    """Add this command to the root."""
    root.command()(contracts)


def contracts(home: Home = HERE, as_json: Json = False) -> None:
    """Print the data contracts in Markdown: use cases, schemas, rules, what happens on failure.

    Bounds and topics are those of the settings; without a nextup.toml, of the defaults.
    """
    from nextup.services.contracts_document import contracts_document
    from nextup.settings import load_settings

    settings = load_settings(home)
    text = contracts_document(settings.contracts, settings.kafka)
    Output(as_json=as_json).result({"markdown": text}, text.rstrip("\n"))
