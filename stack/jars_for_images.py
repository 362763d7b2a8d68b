"""`python -m stack.jars_for_images SPARK JMX`: the jars that images and compose.yaml take from
`build/`, fetched once as all others are: Spark's connectors, and what tells Prometheus of Kafka."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from stack.fetching import jars


def main() -> None:
    """Copy them into the two folders."""
    from nextup.adapters.engine.spark_connectors import connector_jars

    spark, jmx = (Path(one) for one in sys.argv[1:])
    for jar in connector_jars(s3=True):
        shutil.copy(jar, spark)
    shutil.copy(next(jars("jmx_exporter").glob("jmx_*.jar")), jmx / "agent.jar")


if __name__ == "__main__":
    main()
