"""`nextup simulate`: a simulated audience, in the log, in files, or before a running server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import parse_day, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from datetime import datetime

    from nextup.bootstrap import Platform
    from nextup.entrypoints.cli.output import Report
    from nextup.services.simulate import Simulated
    from nextup.services.traffic import TrafficConfig

Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal audiences.")]
People = Annotated[int, typer.Option(min=10, help="How many people.")]
Days = Annotated[int, typer.Option(min=1, help="How many days they act.")]


class To(StrEnum):
    """Where the audience acts."""

    LOG = "log"
    FILES = "files"
    API = "api"


class Curve(StrEnum):
    """How arrivals spread over the run."""

    DAY = "day"
    FLAT = "flat"


def simulate(
    to: Annotated[
        To,
        typer.Option(
            help="The event log; files, one for each day; or live, in front of a running server."
        ),
    ] = To.LOG,
    people: People = 2500,
    days: Days = 90,
    seed: Seed = 42,
    until: Annotated[str, typer.Option(help="The period ends before this day; ISO.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("events"),
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str, typer.Option(envvar="NEXTUP_API_KEY", help="A client's key, where one is asked for.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, help="How long people come.")] = 60.0,
    rate: Annotated[
        float, typer.Option(min=0.01, help="How many come in a second, on average.")
    ] = 5.0,
    curve: Annotated[
        Curve, typer.Option(help="As over a day, which passes in the run; or evenly.")
    ] = Curve.DAY,
    cold: Annotated[
        float, typer.Option(min=0, max=1, help="Share of those who come for the first time.")
    ] = 0.1,
    mistakes: Annotated[
        float, typer.Option(min=0, max=1, help="Share of those whose program errs.")
    ] = 0.01,
    think: Annotated[
        float, typer.Option(min=0, help="Seconds between two acts of a person, on average.")
    ] = 0.2,
    callers: Annotated[int, typer.Option(min=1, max=1000, help="Most at a time.")] = 32,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Let a simulated audience act on the catalogue; the same one twice counts once.

    With --to api the people of the same --people, --days, --seed and --until come to a running
    server, ask for their lists and react to them by their tastes: the report has latencies,
    click-through by source, and how much better the lists could have been.
    """
    out = Output(as_json=as_json)
    audience = {"people": people, "days": days, "seed": seed, "until": until}
    if to is To.API:
        from nextup.algorithms.audience import visitors
        from nextup.services.traffic import TrafficConfig

        config = TrafficConfig(
            seconds=seconds,
            sessions_per_second=rate,
            curve=visitors.Curve(curve.value),
            cold_share=cold,
            mistake_share=mistakes,
            think_seconds=think,
            callers=callers,
        )
        _before_a_server(out, config, audience, url=url, key=key)
        return
    with platform_at(home) as platform, out.progress() as report:
        if to is To.FILES:
            _write_files(out, platform, audience, folder)
            return
        done = act_in_log(platform, report, people=people, days=days, seed=seed, until=until)
    text = f"{done.people:,} simulated people did {done.events:,} things with {done.items:,} items"
    again = f"; {done.duplicates:,} were known already" if done.duplicates else ""
    out.result(done._asdict(), f"{text}{again}.")


def act_in_log(
    platform: Platform, report: Report, *, people: int, days: int, seed: int, until: str = ""
) -> Simulated:
    """The audience's events, appended."""
    from nextup.algorithms.audience.simulate import AudienceConfig
    from nextup.services.simulate import simulate as simulate_audience

    return simulate_audience(
        platform.event_log,
        platform.catalog,
        AudienceConfig(people=people, days=days),
        ends_at=_midnight(until),
        seed=seed,
        report=report,
    )


def _write_files(out: Output, platform: Platform, audience: dict[str, Any], folder: Path) -> None:
    from nextup.algorithms.audience.simulate import AudienceConfig
    from nextup.services.simulate import write_days

    files = write_days(
        folder,
        list(platform.catalog.all_items()),
        AudienceConfig(people=audience["people"], days=audience["days"]),
        ends_at=_midnight(audience["until"]),
        seed=audience["seed"],
    )
    events = sum(one.events for one in files)
    document = {"folder": folder, "files": len(files), "events": events}
    out.result(document, f"{events:,} events in {len(files):,} files in {folder}.")


def _before_a_server(
    out: Output, config: TrafficConfig, audience: dict[str, Any], *, url: str, key: str
) -> None:
    from nextup.algorithms.audience.simulate import AudienceConfig
    from nextup.entrypoints.cli.traffic import ServerShop, live_view, show_report
    from nextup.services.traffic import Traffic

    with ServerShop(url, key) as shop:
        traffic = Traffic(
            shop,
            config,
            AudienceConfig(people=audience["people"], days=audience["days"]),
            ends_at=_midnight(audience["until"]),
            seed=audience["seed"],
        )
        with live_view(out) as watch:
            try:
                found = traffic.run(watch)
            except KeyboardInterrupt:
                found = traffic.tally.report()
    show_report(out, found)


def _midnight(until: str) -> datetime:
    from datetime import UTC, datetime

    day = parse_day(until, "--until") if until else datetime.now(UTC).date()
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
