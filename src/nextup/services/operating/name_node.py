"""What HDFS's NameNode says of itself at its /jmx."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from nextup.domain.errors import BackendUnavailable, ConfigurationError

SECONDS: Final = 20.0  # to wait for an answer
_STATE: Final = "Hadoop:service=NameNode,name=FSNamesystemState"
_INFO: Final = "Hadoop:service=NameNode,name=NameNodeInfo"
_BLOCKS: Final = "Hadoop:service=NameNode,name=FSNamesystem"


@dataclass(frozen=True, slots=True)
class NameNode:
    """HDFS at one moment."""

    live_nodes: int
    dead_nodes: int
    missing_blocks: int  # no copy is left
    under_replicated_blocks: int  # too few copies are left
    capacity_bytes: int
    free_bytes: int
    spread_percent: float  # between the fullest and the emptiest DataNode

    @property
    def free_percent(self) -> float:
        """Of all space; none where there is none."""
        return 100.0 * self.free_bytes / self.capacity_bytes if self.capacity_bytes else 0.0


def ask_name_node(url: str) -> NameNode:
    """Ask at `http://host:9870`. Raises BackendUnavailable, and ConfigurationError for what is no
    such URL, or answers as no NameNode does."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigurationError(
            f"'{url}' is not the address of a NameNode.", cure="Write http://host:9870."
        )
    state, blocks, info = (_bean(url, name) for name in (_STATE, _BLOCKS, _INFO))
    try:
        nodes = json.loads(info["LiveNodes"]).values()
        used = [float(node["blockPoolUsedPercent"]) for node in nodes]
        return NameNode(
            live_nodes=int(state["NumLiveDataNodes"]),
            dead_nodes=int(state["NumDeadDataNodes"]),
            missing_blocks=int(blocks["MissingBlocks"]),
            under_replicated_blocks=int(state["UnderReplicatedBlocks"]),
            capacity_bytes=int(state["CapacityTotal"]),
            free_bytes=int(state["CapacityRemaining"]),
            spread_percent=max(used) - min(used) if used else 0.0,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _no_name_node(url) from error


def _bean(url: str, name: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url}/jmx?qry={name}", timeout=SECONDS) as answer:  # noqa: S310 - checked above
            document = json.load(answer)
    except OSError as error:
        raise BackendUnavailable(
            f"The NameNode does not answer at {url}: {error}.",
            cure="Check that it runs, and options.namenode_url.",
        ) from error
    except ValueError as error:
        raise _no_name_node(url) from error
    beans = document.get("beans") if isinstance(document, dict) else None
    if not beans:
        raise _no_name_node(url)
    bean: dict[str, Any] = beans[0]
    return bean


def _no_name_node(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"What answers at {url} is no NameNode.", cure="Its own pages are at port 9870."
    )
