"""Count events in Kafka by topic and film with Spark.

    python examples/spark_kafka_example.py --master spark://localhost:7077

`nextup spark fetch` gets the connectors once; this finds them where Nextup does.
"""

import argparse
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from nextup.bootstrap import spark_connectors
from nextup.settings import Settings

TOPICS = ("view_events", "click_events", "rating_events")


def main() -> None:
    """Prints the most touched films."""
    options = argparse.ArgumentParser(description="Count Kafka's events with Spark.")
    options.add_argument("--brokers", default="localhost:9092")
    options.add_argument("--master", default="local[*]")
    options.add_argument("--top", type=int, default=10)
    options.add_argument("--prefix", default="", help="before each topic: a tenant's")
    given = options.parse_args()

    jars = spark_connectors(Settings())
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = (
        SparkSession.builder.master(given.master)
        .appName("spark-kafka-example")
        .config("spark.jars", ",".join(map(str, jars)))
        .config("spark.sql.shuffle.partitions", 4)
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    topics = ",".join(given.prefix + topic for topic in TOPICS)
    events = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", given.brokers)
        .option("subscribe", topics)
        .load()
        .select(
            f.col("topic"),
            f.get_json_object(f.col("value").cast("string"), "$.item_id").alias("film"),
        )
        .where(f.col("film").isNotNull())
    )
    counted = events.groupBy("film").agg(f.count("*").alias("touches"))
    for row in counted.orderBy(f.desc("touches"), "film").limit(given.top).collect():
        print(f"film {row['film']}: {row['touches']}")
    print(f"{events.count()} events")
    spark.stop()


if __name__ == "__main__":
    main()
