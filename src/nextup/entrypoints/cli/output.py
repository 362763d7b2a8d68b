"""What commands print: tables and progress bars for people, one JSON document for machines.

People's progress goes to standard error, results to standard output, so that `nextup ... | less`
and `nextup ... --json | jq` both work.
"""

from __future__ import annotations

import json
import math
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.domain.errors import InvalidInput
from nextup.entrypoints.cli.command_log import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    Report = Callable[[str, int, int], None]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Home = Annotated[
    str,
    typer.Option(
        "--home",
        "-C",
        envvar="NEXTUP_HOME",
        metavar="FOLDER",
        help="The folder of the nextup.toml.",
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Answer Prometheus here; 0: nowhere. Default: the settings' [metrics].",
    ),
]
HERE = "."
GARBLING = dict.fromkeys((7, 8, 11, 12, 13))  # bell, backspace, carriage return: not for terminals


class Output:
    """Where a command's words go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str) -> None:
        """A line for people; machines are not told."""
        _keep(text)
        if not self.as_json:
            _write(text.translate(GARBLING))

    def result(self, document: Any, text: str | None = None) -> None:
        """The command's answer: the document as JSON, or the text (default: say nothing)."""
        if self.as_json:
            text = json.dumps(_plain(document), ensure_ascii=False, allow_nan=False)
            _keep(text)
            sys.stdout.write(f"{text}\n")
        elif text is not None:
            self.say(text)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        document: Any,
    ) -> None:
        """A table for people; `document` for machines. Columns of numbers are set flush right."""
        if self.as_json:
            self.result(document)
            return
        if not rows:
            self.say(title)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left", header_style="bold", title_style="bold")
        for index, column in enumerate(columns):
            numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row))
        _keep("\n".join(f"{title}: {' | '.join(map(_cell, row))}" for row in rows))
        _console().print(table)

    @contextmanager
    def progress(self) -> Iterator[Report]:
        """A function `report(what, done, total)` that draws a bar for each `what`.

        A total of 0 means that nobody knows how long it takes.
        """
        if self.as_json or not sys.stderr.isatty():
            yield lambda what, done, total: None
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=_console(error=True),
        )
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)

        with bars:
            yield report


def confirm(question: str, *, yes: bool) -> None:
    """Go on after `--yes` or an answer that says so.

    Raises InvalidInput where nobody can be asked, and typer's Abort for any other answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} Nobody is there to answer.", cure="Add --yes.")
    typer.confirm(question, abort=True, err=True)


def fail(message: str, cure: str, *, as_json: bool) -> None:
    """Say on standard error, in one line, what went wrong and what to do next."""
    message, cure = " ".join(message.split()), " ".join(cure.split())
    _keep(f"Error: {message} {cure}".rstrip())
    if as_json:
        sys.stderr.write(json.dumps({"error": message, "cure": cure}, ensure_ascii=False) + "\n")
        return
    from rich.text import Text

    line = Text.assemble(("Error: ", "bold red"), message, " " if cure else "", (cure, "green"))
    _console(error=True).print(line, soft_wrap=True)


def _keep(text: str) -> None:
    """For the log that the command leaves, where it leaves one."""
    if (log := kept.get()) is not None:
        log.say(text)


def _write(text: str) -> None:
    """Print the line at once. Rich, which tables need, takes as long to import as a small command
    takes. Where the reader has left (`| head`), the command ends here."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        raise SystemExit(1) from None


def _console(*, error: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=error)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    """The value in JSON's own words: records by the names of their fields, what is no number as
    null, times in ISO."""
    import dataclasses
    from collections.abc import Mapping
    from datetime import date, datetime

    if type(value).__module__ == "numpy":
        value = value.tolist()
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)
