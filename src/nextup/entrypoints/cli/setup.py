"""`nextup init` and `nextup doctor`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.needs import say_what_is_missing
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from nextup.services.doctor import Finding

# A new platform answers whoever is on this machine, says so in its file, and starts nowhere else.
OPEN_HERE = {"access.auth": "none"}


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    root.command()(init)
    root.command()(doctor)


def init(
    folder: Annotated[Path, typer.Argument(help="Made if absent.")] = Path(),
    recipe: Annotated[str, typer.Option(help="A deployment that is known by name.")] = "",
    as_json: Json = False,
) -> None:
    """Make a platform: a folder with a nextup.toml that shows and explains every default, or with
    all that a recipe needs."""
    if recipe:
        _init_recipe(recipe, folder, Output(as_json=as_json))
        return
    from nextup.domain.errors import Conflict
    from nextup.services.settings_reference import example_toml
    from nextup.settings import FILE_NAME

    file = folder / FILE_NAME
    if file.exists():
        raise Conflict(
            f"{file} exists already; it was left as it is.",
            cure="Edit it, or name another folder.",
        )
    write_settings(folder, example_toml(OPEN_HERE))
    Output(as_json=as_json).result(
        {"settings": str(file)},
        f"Wrote {file}. Next: `nextup ingest sample -C {folder}`, or your own data.",
    )


def _init_recipe(recipe: str, folder: Path, out: Output) -> None:
    from nextup.recipes.folders import write_folder

    written = write_folder(recipe, folder)
    for name, value in written.secrets.items():
        out.say(f"{name}={value}")
    kept = f" Passwords are in {folder / '.env'}." if written.secrets else ""
    out.result(
        {"files": [str(file) for file in written.files], "secrets": written.secrets},
        f"Wrote {len(written.files)} files to {folder}.{kept} Next: see {folder / 'README.md'}.",
    )


def write_settings(folder: Path, text: str) -> Path:
    """Write the settings file; raises ConfigurationError where the folder cannot be written."""
    from nextup.domain.errors import ConfigurationError
    from nextup.settings import FILE_NAME

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}.", cure="Choose another folder."
        ) from error
    return folder / FILE_NAME


def doctor(
    needed: Annotated[
        bool, typer.Option("--needed", help="Only what the recipe needs and does not find.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Open every configured backend and say what answered; exit with 1 if one did not."""
    if needed:
        with platform_at(home) as platform:
            raise typer.Exit(int(say_what_is_missing(platform, Output(as_json=as_json))))
    from nextup.bootstrap import PORTS
    from nextup.services.doctor import examine

    out = Output(as_json=as_json)
    with platform_at(home) as platform:
        findings = [
            examine(
                port,
                str(getattr(platform.settings, f"{port}_url")),
                partial(getattr, platform, port),
            )
            for port in PORTS
        ]
    rows = [
        (
            finding.port,
            finding.url,
            "ok" if finding.healthy else "DOWN",
            finding.milliseconds,
            _sentence(finding),
        )
        for finding in findings
    ]
    document = {"findings": findings, "kernels": kernels()}
    out.table("Backends", ("port", "url", "state", "ms", "says"), rows, document)
    out.say(f"Kernels: {kernels()}")
    if not all(finding.healthy for finding in findings):
        raise typer.Exit(1)


def _sentence(finding: Finding) -> str:
    product = f"{finding.product}: " if finding.product else ""
    return f"{product}{finding.says} {finding.cure}".strip()


def kernels() -> str:
    """Which numeric kernels this machine runs."""
    from nextup.algorithms import native

    return native.backend()
