"""What only this recipe has to be told."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from nextup.settings_servers import Section


class Options(Section):
    """The table `[options]`."""

    model: str = "model"  # a folder of files_url: a run's model, in two forms
    recommendations: str = "recommendations"  # likewise: a run's lists, and the run in service
    retention_days: PositiveInt = 90  # a day's folders outside of the history are removed then
    namenode_url: str = "http://localhost:9870"  # its own pages, for /jmx; empty: not asked
    spread_percent: PositiveFloat = 10.0  # between the fullest and the emptiest DataNode
    balancer: list[str] = []  # the command where that is more; empty: hdfs balancer
    balancer_seconds: PositiveInt = 3_600  # after which it is ended; it goes on the next night
    free_percent: PositiveFloat = 15.0  # of all space; less is warned of
