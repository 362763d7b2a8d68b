"""A lake on S3: executors reach it with the address and keys that the lake itself has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nextup.settings import Settings

_OWN: Final = "spark.hadoop."  # before a property of Hadoop in `spark.config`
_SAME: Final = {
    "fs.s3a.access.key": ("AWS_ACCESS_KEY_ID",),
    "fs.s3a.secret.key": ("AWS_SECRET_ACCESS_KEY",),
    "fs.s3a.session.token": ("AWS_SESSION_TOKEN",),
    "fs.s3a.endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "fs.s3a.endpoint.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}
"""Which variable says what: the first that is set."""


def is_on_s3(settings: Settings) -> bool:
    """Whether executors need Hadoop's driver for it."""
    return settings.lake_url.startswith(("s3://", "s3a://"))


def reach_s3(spark: SparkSession, settings: Settings) -> None:
    """Tell it by the session, never by a command line, which others on this machine can read.

    Hadoop keeps an open file system for all that one JVM does, so that the first keys count there.
    """
    found = s3a_properties(os.environ, settings.spark.config)
    if isinstance(spark, SparkSession):
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        for name, value in found.items():
            hadoop.set(name, value)
        return
    for name, value in found.items():  # Spark Connect hands a session's own on to Hadoop
        spark.conf.set(name, value)


def s3a_properties(environment: Mapping[str, str], config: Mapping[str, str]) -> dict[str, str]:
    """What Hadoop's driver is told: what the variables of every client of S3 say, but for what
    `config` settles. Without keys it looks for a role by itself, as the lake does."""
    return {
        name: value
        for name, value in _properties(environment)
        if f"{_OWN}{name}" not in config and name not in config
    }


def _properties(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    said = {
        name: environment[variable]
        for name, variables in _SAME.items()
        for variable in reversed(variables)
        if environment.get(variable)
    }
    yield from said.items()
    if "fs.s3a.session.token" in said:
        kind = "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider"
        yield "fs.s3a.aws.credentials.provider", kind
    if "fs.s3a.endpoint" in said:  # elsewhere than Amazon a bucket has no name of its own
        yield "fs.s3a.path.style.access", "true"
