"""`nextup demo`: a whole platform with a simulated audience."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import context_of, platform_at
from nextup.entrypoints.cli.output import Json, Output
from nextup.entrypoints.cli.simulating import Days, People, Seed, act_in_log, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.bootstrap import Platform


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    root.command()(demo)
    root.command()(simulate)


class Stopwatch:
    """How long each part took, for the summary."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Measure the block."""
        started = time.monotonic()
        yield
        self.parts[part] = round(time.monotonic() - started, 2)


def demo(
    folder: Annotated[
        Path | None, typer.Option(help="A new folder; default: demo, or demo-2, ...")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A nextup.toml; its servers, which must be empty.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Another is taken if busy.")] = 8000,
    people: People = 2500,
    days: Days = 90,
    seed: Seed = 42,
    check: Annotated[
        bool, typer.Option("--check", help="Prove that it works over HTTP, then stop.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a sample platform, run the whole pipeline, serve it, and say what to try."""
    from nextup.entrypoints.api.app import create_app
    from nextup.entrypoints.api.server import ApiServer
    from nextup.entrypoints.cli.demo_settings import refuse_what_is_in_use, settings_from
    from nextup.entrypoints.cli.demo_tour import Tour
    from nextup.entrypoints.cli.serving import say_where
    from nextup.entrypoints.cli.setup import OPEN_HERE, write_settings
    from nextup.entrypoints.heap import settle_heap
    from nextup.services.settings_reference import example_toml

    settle_heap()
    out = Output(as_json=as_json)
    home = _new_folder(folder)
    write_settings(home, settings_from(config) if config else example_toml(OPEN_HERE))
    watch = Stopwatch()
    out.say(f"Building a sample platform in {home}/ (its audience is simulated) ...")
    with platform_at(str(home)) as platform:
        refuse_what_is_in_use(platform)
        _build(platform, out, watch, people=people, days=days, seed=seed)
        started = time.monotonic()
        server = ApiServer(create_app(platform), host="127.0.0.1", port=port)
        tour = Tour(out, watch.parts, started, stop=server.stop, check=check)

        def ready(url: str) -> None:
            say_where(out, url, port)
            tour.begin(url)

        server.serve_until_stopped(ready)
    tour.conclude(home)


def _build(
    platform: Platform, out: Output, watch: Stopwatch, *, people: int, days: int, seed: int
) -> None:
    from nextup.entrypoints.cli.pipeline import step_line
    from nextup.services.pipeline import run_pipeline, today
    from nextup.services.simulate import put_sample

    with out.progress() as report:
        with watch.time("catalogue"):
            items = put_sample(platform.catalog)
        with watch.time("audience"):
            done = act_in_log(platform, report, people=people, days=days, seed=seed)
        out.say(f"{items:,} films and books, {done.people:,} people, {done.events:,} events")
        context = context_of(platform, today(platform.settings), report)
        run = run_pipeline(context, platform.control, watch=lambda step: out.say(step_line(step)))
    watch.parts |= {step.step: step.seconds for step in run.steps}


def _new_folder(folder: Path | None) -> Path:
    """The folder asked for, which must not be a platform yet; else the first free `demo-N`."""
    from nextup.domain.errors import Conflict

    if folder is not None:
        if folder.is_dir() and any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty.", cure="Choose a new folder.")
        return folder
    number = 1
    while (free := Path("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    return free
