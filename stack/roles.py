"""Which server stands behind which port of a platform when several could: the first that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stack.server import Server

PREFERRED = {
    "event_log": ("kafka", "postgresql"),
    "catalog": ("postgresql", "mongodb"),
    "lake": ("hdfs", "s3"),
    "files": ("hdfs",),
    "recommendation_store": ("redis", "cassandra", "postgresql", "mongodb"),
    "online_state": ("redis", "postgresql"),
    "control": ("postgresql",),
    "engine": ("spark",),
    "tracker": ("mlflow",),
}
PATHS = {("hdfs", "lake"): "/lake", ("hdfs", "files"): "/files"}
"""What follows a server's URL where two ports would share one place."""


def settings_of(servers: Mapping[str, Server]) -> str:
    """A `nextup.toml` for a platform on these servers; what none of them can be is embedded."""
    return "\n".join(_lines(servers)) + "\n"


def _lines(servers: Mapping[str, Server]) -> Iterator[str]:
    yield "# Written by `make stack`: these servers are thrown away when it ends."
    for port, names in PREFERRED.items():
        for name in names:
            if name in servers and _known(port, servers[name].url):
                url = servers[name].url.rstrip("/") + PATHS.get((name, port), "")
                yield f'{port}_url = "{url}"'
                break


def _known(port: str, url: str) -> bool:
    """Whether this version of Nextup has an adapter for it."""
    from nextup.bootstrap import ADAPTERS

    return url.partition(":")[0].partition("+")[0] in ADAPTERS[port]
