"""`nextup quarantine list|readmit`."""

from __future__ import annotations

from typing import Annotated

import typer

from nextup.entrypoints.cli.context import contract_of, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

app = typer.Typer(no_args_is_help=True, help="What broke a contract: look, mend, re-admit.")
Rule = Annotated[str, typer.Option(help="Only records that broke this rule.")]


@app.command("list")
def list_records(
    rule: Rule = "",
    limit: Annotated[int, typer.Option(min=1, help="How many records to show.")] = 20,
    start: Annotated[int, typer.Option(min=0, help="How many to skip.")] = 0,
    readmitted: Annotated[
        bool, typer.Option("--readmitted", help="Also those that were re-admitted.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """The records in quarantine, the latest first, and how many each rule keeps there."""
    from nextup.services.quarantine import count_by_rule, count_waiting, list_quarantine

    out = Output(as_json=as_json)
    with platform_at(home) as platform:
        page = list_quarantine(
            platform.lake, rule=rule or None, readmitted=readmitted, limit=limit, start=start
        )
        counts = count_by_rule(platform.lake, readmitted=readmitted)
        waiting = count_waiting(platform.event_log, platform.lake)
    rows = [(one.rejected_id, one.rule, one.source, one.reason, one.record) for one in page.rows]
    document = {
        "total": page.total,
        "by_rule": counts,
        "waiting": waiting,
        "records": [one._asdict() for one in page.rows],
    }
    by_rule = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    title = f"Quarantine: {page.total:,} records" + (f" ({by_rule})" if by_rule else "")
    out.table(title, ("id", "rule", "source", "reason", "record"), rows, document)
    if waiting:
        out.say(f"{waiting:,} more are still in the log; `nextup pipeline run` collects them.")


@app.command()
def readmit(
    rejected_ids: Annotated[
        list[str] | None, typer.Argument(help="Only these records; default: all.")
    ] = None,
    rule: Rule = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Judge records again; those that a fix made valid go into the log, each counted once."""
    from nextup.services.quarantine import readmit as readmit_records

    out = Output(as_json=as_json)
    with platform_at(home) as platform, out.progress() as report:
        done = readmit_records(
            platform.lake,
            platform.event_log,
            contract_of(platform),
            rule=rule or None,
            rejected_ids=rejected_ids or None,
            progress=lambda done, total: report("records", done, total),
        )
    broken = ", ".join(f"{name} {count:,}" for name, count in done.still_broken.items())
    out.result(
        done,
        f"Looked at {done.looked_at:,} records: {done.readmitted:,} re-admitted"
        + (f"; still broken: {broken}" if broken else ""),
    )
