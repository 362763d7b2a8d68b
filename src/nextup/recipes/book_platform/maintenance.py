"""HDFS at night: old days go, blocks are spread, and what the NameNode says is noted."""

from __future__ import annotations

import logging
import shutil
import subprocess
from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nextup.domain.errors import BackendUnavailable, ConfigurationError
from nextup.recipes.book_platform.options import Options
from nextup.recipes.options import options_of
from nextup.services.history_by_day import merged_days
from nextup.services.operating.name_node import NameNode, ask_name_node
from nextup.services.steps import Context, Done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.ports.files import Files

log = logging.getLogger(__name__)


def remove_old_days(context: Context) -> Done:
    """Remove the folders of days before the retention, where the historical set has the day."""
    history, files = context.settings.history, context.files
    keep = options_of(context.settings, Options).retention_days
    oldest = context.day - timedelta(days=keep)
    merged = set(merged_days(files, context.settings))
    removed = kept = 0
    for place in (history.processed, history.raw):
        for day, folder in _day_folders(files, place):
            if day >= oldest:
                continue
            if day.isoformat() in merged:
                removed += files.remove(folder)
            else:
                kept += 1
                log.warning("%s stays: the history does not have this day", folder)
    return Done({"removed": removed, "kept_unmerged": kept}, f"days before {oldest} are gone")


def balance(context: Context) -> Done:
    """Run HDFS's balancer where one DataNode is much fuller than another."""
    options = options_of(context.settings, Options)
    if not options.namenode_url:
        return Done({}, "not asked: options.namenode_url is empty")
    state = ask_name_node(options.namenode_url)
    spread = f"the spread is {state.spread_percent:.1f} %"
    counts = {"spread_percent": round(state.spread_percent), "balanced": 0}
    if state.spread_percent <= options.spread_percent:
        return Done(counts, f"{spread}, which is even enough")
    said = _run_balancer(context, options)
    return Done({**counts, "balanced": 1}, f"{spread}; {said}")


def check(context: Context) -> Done:
    """What the NameNode says; what somebody must see to is told, and fails nothing."""
    options = options_of(context.settings, Options)
    if not options.namenode_url:
        return Done({}, "not asked: options.namenode_url is empty")
    state = ask_name_node(options.namenode_url)
    troubles = list(_troubles(state, options))
    for trouble in troubles:
        log.warning("HDFS: %s", trouble)
    return Done(
        {
            "live_nodes": state.live_nodes,
            "dead_nodes": state.dead_nodes,
            "missing_blocks": state.missing_blocks,
            "under_replicated_blocks": state.under_replicated_blocks,
            "free_percent": int(state.free_percent),
            "troubles": len(troubles),
        },
        "; ".join(troubles) or "HDFS is well",
    )


def _troubles(state: NameNode, options: Options) -> Iterator[str]:
    if state.dead_nodes:
        yield f"{state.dead_nodes} DataNodes are dead"
    if state.missing_blocks:
        yield f"{state.missing_blocks} blocks have no copy left"
    if state.under_replicated_blocks:
        yield f"{state.under_replicated_blocks} blocks have too few copies"
    if state.free_percent < options.free_percent:
        yield f"{state.free_percent:.1f} % of the space is free"


def _day_folders(files: Files, place: str) -> Iterator[tuple[date, str]]:
    """Those under yyyy/mm/dd."""
    for year in _numbers(files, place):
        for month in _numbers(files, f"{place}/{year}"):
            for day in _numbers(files, f"{place}/{year}/{month}"):
                try:
                    yield date(int(year), int(month), int(day)), f"{place}/{year}/{month}/{day}"
                except ValueError:  # a folder that is named like none of ours
                    continue


def _numbers(files: Files, folder: str) -> list[str]:
    names = (name.rstrip("/") for name in files.list(folder) if name.endswith("/"))
    return [name for name in names if name.isdecimal()]


def _run_balancer(context: Context, options: Options) -> str:
    place = urlsplit(context.settings.files_url)
    command = options.balancer or [
        "hdfs",
        "balancer",
        "-fs",
        f"{place.scheme}://{place.netloc}",
        "-threshold",
        f"{options.spread_percent:g}",
    ]
    if shutil.which(command[0]) is None:
        raise ConfigurationError(
            f"'{command[0]}' is not here, and HDFS wants its blocks spread.",
            cure="Install Hadoop's client, or set options.balancer to a command that runs it.",
        )
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own words, and no shell
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=options.balancer_seconds,
        )
    except subprocess.TimeoutExpired:
        return f"the balancer was ended after {options.balancer_seconds} seconds"
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    said = lines[-1] if lines else "the balancer said nothing"
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [said])[-1]
        raise BackendUnavailable(
            f"The balancer ended with {done.returncode}: {why}.", cure="See HDFS's own log."
        )
    return said
