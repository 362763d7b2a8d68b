"""`nextup stream`, `topics create` and `events produce`: what lives in topics."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import contract_of, platform_at
from nextup.entrypoints.cli.interruption import until_interrupted
from nextup.entrypoints.cli.needs import say_what_is_missing
from nextup.entrypoints.cli.output import HERE, Home, Json, MetricsPort, Output

if TYPE_CHECKING:
    from nextup.bootstrap import Platform
    from nextup.entrypoints.worker_metrics import StreamMetrics
    from nextup.ports.topics import SupportsTopics
    from nextup.services.shares import Share

topics_app = typer.Typer(no_args_is_help=True, help="The topics of an event log on Kafka.")
events_app = typer.Typer(no_args_is_help=True, help="Events as messages.")

QUIET_SECONDS = 5.0  # without anything to do, until `--once` believes that all is done


class Work(StrEnum):
    """What `nextup stream` does."""

    LAKE = "lake"
    ONLINE = "online"
    INTAKE = "intake"
    LISTS = "lists"


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    root.command()(stream)
    root.add_typer(topics_app, name="topics")
    root.add_typer(events_app, name="events")


def stream(
    only: Annotated[
        str,
        typer.Option(
            help="One kind of work: lake, online, intake, lists, or one of the recipe's; "
            "default: all that the settings ask for."
        ),
    ] = "",
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing has come for a few seconds.")
    ] = False,
    metrics_port: MetricsPort = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Bring events from the log to the lake and the online state until interrupted.

    Any number may run: on Kafka they share the partitions, and others take over from one that
    ends.
    """
    from nextup.entrypoints.heap import settle_heap
    from nextup.entrypoints.logs import configure_logs
    from nextup.entrypoints.worker_metrics import StreamMetrics, scraped
    from nextup.services.shares import run_shares, run_until_idle

    settle_heap()
    out = Output(as_json=as_json)
    with platform_at(home) as platform, until_interrupted() as stop:
        configure_logs(platform.settings.logs)
        metrics = StreamMetrics(lambda: platform.online_state)
        shares = metrics.watched(_chosen_shares(platform, only, metrics, once=once))
        say_what_is_missing(platform, out)
        told = platform.settings.metrics
        port = told.stream_port if metrics_port is None else metrics_port
        with scraped(metrics.registry, told.host, port):
            out.say(f"Streaming: {', '.join(shares)}")
            if once:
                run_until_idle(shares, QUIET_SECONDS)
            else:
                run_shares(shares, stop)
        out.result({"stopped": list(shares)}, "Stopped.")


@topics_app.command("create")
def create(home: Home = HERE, as_json: Json = False) -> None:
    """Make the topics of the settings that are absent, and show how all are."""
    with platform_at(home) as platform:
        topics = _topics(platform).make_topics()
    rows = [
        (one.topic, one.partitions, one.replication, "created" if one.created else "there")
        for one in topics
    ]
    columns = ("topic", "partitions", "replication", "")
    document = [one._asdict() for one in topics]
    Output(as_json=as_json).table("Topics", columns, rows, document)


@events_app.command()
def produce(
    file: Annotated[
        Path, typer.Option(help="A rating file (userId,movieId,rating,timestamp), folder or zip.")
    ],
    topic: Annotated[str, typer.Option(help="Where to; created if absent.")] = "movielens_ratings",
    rate: Annotated[
        float, typer.Option(min=0, help="Messages a second; 0: as fast as they are taken.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many; 0: never.")] = 0,
    loop: Annotated[
        bool, typer.Option("--loop", help="At the end begin again; each round is new events.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin with the first row, not where it was.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Replay a rating file into a topic, line by line; run again, it goes on where it was."""
    from nextup.services.replay import Replay

    out = Output(as_json=as_json)
    with platform_at(home) as platform, until_interrupted() as stop:
        replay = Replay(_topics(platform), platform.files, file, topic)
        if restart:
            replay.forget()
        with out.progress() as report:
            done = replay.run(stop, rate=rate, limit=limit, loop=loop, report=report)
    where = "the file's end" if done.finished else f"row {done.row:,} of round {done.round}"
    out.result(done._asdict(), f"{done.sent:,} messages to {done.topic}; now at {where}.")


def _topics(platform: Platform) -> SupportsTopics:
    from nextup.domain.errors import ConfigurationError
    from nextup.ports.topics import SupportsTopics

    log = platform.event_log
    if not isinstance(log, SupportsTopics):
        raise ConfigurationError(
            "This event log has no topics.", cure="Set event_log_url to kafka://host:9092/events."
        )
    return log


def _chosen_shares(
    platform: Platform, only: str, metrics: StreamMetrics, *, once: bool
) -> dict[str, Share]:
    """Every platform's, and those of the recipe."""
    from nextup.domain.errors import InvalidInput
    from nextup.recipes.beside import shares_of

    makers = shares_of(platform)
    if only and only not in {*Work, *makers}:
        raise InvalidInput(
            f"--only: there is no work '{only}'.", cure=f"Work: {', '.join([*Work, *makers])}."
        )
    known: dict[str, Share] = {}
    if only not in makers:
        known = _shares(platform, Work(only) if only else None, metrics, once=once)
    return known | {name: make() for name, make in makers.items() if only in {"", name}}


def _shares(
    platform: Platform, only: Work | None, metrics: StreamMetrics, *, once: bool
) -> dict[str, Share]:
    from nextup.entrypoints.cli.engine_streams import engine_shares
    from nextup.ports.topics import SupportsTopics
    from nextup.recipes.beside import left_out

    wanted = {only} if only else {Work.LAKE, Work.ONLINE} - left_out(platform.settings)
    if platform.settings.stream.lists and not only:
        wanted.add(Work.LISTS)
    log = platform.event_log
    if isinstance(log, SupportsTopics):
        of_engine = engine_shares(platform, wanted, once=once)
        others = wanted - of_engine.keys()
        if platform.settings.kafka.intake and not only:
            others.add(Work.INTAKE)
        return _of_groups(platform, log, others, metrics) | of_engine
    if Work.LISTS in wanted:
        _topics(platform)
    return _of_one_log(platform, wanted, metrics)


def _of_groups(
    platform: Platform, log: SupportsTopics, wanted: set[Work], metrics: StreamMetrics
) -> dict[str, Share]:
    from nextup.services.foreign_intake import INTAKE_GROUP, ForeignIntake
    from nextup.services.shares import LAKE_GROUP, ONLINE_GROUP, LakeShare, OnlineShare

    settings = platform.settings
    shares: dict[str, Share] = {}
    if Work.LAKE in wanted:
        shares[Work.LAKE] = LakeShare(
            log.join(LAKE_GROUP),
            platform.event_log,
            lambda: platform.engine,
            batch_rows=settings.lake.batch_rows,
            every_seconds=settings.lake.collect_seconds,
        )
    if Work.ONLINE in wanted:
        member = log.join(ONLINE_GROUP)
        shares[Work.ONLINE] = OnlineShare(member, platform.online_state, on_applied=metrics.applied)
    if Work.INTAKE in wanted:
        shares[Work.INTAKE] = ForeignIntake(
            log.join_intake(INTAKE_GROUP),
            platform.event_log,
            contract_of(platform),
            types={topic: kind for kind, topic in settings.kafka.topics.items()},
            rows=settings.stream.intake_rows,
            on_outcome=metrics.count_outcome,
        )
    return shares


def _of_one_log(platform: Platform, wanted: set[Work], metrics: StreamMetrics) -> dict[str, Share]:
    from nextup.services.lake_writer import LakeWriter
    from nextup.services.shares import Follower
    from nextup.services.stream import POLL_SECONDS, OnlineUpdater

    if Work.INTAKE in wanted:
        _topics(platform)
    every = platform.settings.lake.collect_seconds
    writer = LakeWriter(
        platform.event_log,
        lambda: platform.engine,
        batch_rows=platform.settings.lake.batch_rows,
        every_seconds=every,
    )
    updater = OnlineUpdater(platform.event_log, platform.online_state, on_applied=metrics.applied)
    shares: dict[str, Share] = {}
    if Work.LAKE in wanted:
        shares[Work.LAKE] = Follower(
            "lake", lambda: sum(writer.collect().values()), every_seconds=every
        )
    if Work.ONLINE in wanted:
        shares[Work.ONLINE] = Follower("online", updater.apply_all, every_seconds=POLL_SECONDS)
    return shares
