"""`nextup quarantine list|readmit`."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="What broke a contract: look, mend, re-admit.")
