"""What is different on Spark Connect, where the JVM is another program's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from nextup.adapters.engine.spark_connectors import connector_jars

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import SparkSession

    from nextup.settings import Settings

_WIDTH: Final = 40  # characters of the bar


def lend_jar(spark: SparkSession, settings: Settings, artifact: str) -> None:
    """Send a connector to the server, for this session; one that it has stays as it is."""
    for jar in connector_jars(settings.spark.connectors):
        if jar.name.startswith(f"{artifact}-"):
            spark.addArtifact(str(jar))


def draw_progress(
    stages: Iterable[Any] | None, inflight_tasks: int, operation_id: str | None, done: bool
) -> None:
    """A bar on standard error, as Spark's own in this process; gone when the work is done."""
    several = list(stages or ())
    tasks = sum(stage.num_tasks for stage in several)
    if not tasks:
        return
    completed = sum(stage.num_completed_tasks for stage in several)
    bar = "=" * (completed * _WIDTH // tasks)
    line = f"\r[{bar:<{_WIDTH}}] ({completed} + {inflight_tasks}) / {tasks}"
    sys.stderr.write(f"\r{' ' * len(line)}\r" if done else line)
    sys.stderr.flush()
