"""How Spark is asked for, without any."""

from __future__ import annotations

import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from stack.servers.spark import spark_home

from nextup.adapters.lake.delta import DeltaLake
from nextup.bootstrap import open_adapter, spark_connectors
from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    CorruptData,
    InvalidInput,
    StorageFull,
)
from nextup.settings import load_settings, without_credentials

pytest.importorskip("pyspark")

from nextup.adapters.engine import spark_connectors as connectors
from nextup.adapters.engine import spark_session
from nextup.adapters.engine.spark_connect import draw_progress
from nextup.adapters.engine.spark_errors import in_our_words, raised_there
from nextup.adapters.engine.spark_s3 import s3a_properties
from nextup.adapters.engine.spark_session import open_session, properties

if TYPE_CHECKING:
    from nextup.settings import Settings


def settings(folder: Path, url: str = "local[2]", **spark: Any) -> Settings:
    (folder / "one.jar").touch()
    return load_settings(folder, engine_url=url, spark={"connectors": str(folder), **spark})


def test_properties_follow_the_settings(tmp_path: Path) -> None:
    """Each setting is a property of Spark; `spark.config` has the last word."""
    chosen = settings(
        tmp_path,
        "spark://127.0.0.1:7077",
        driver_memory="3g",
        executor_memory="5g",
        max_cores=6,
        packages=["a:b:1", "c:d:2"],
        event_log_folder="history",
        config={"spark.executor.memory": "7g", "spark.eventLog.compress": "true"},
    )
    found = properties(chosen)
    assert found["spark.driver.memory"] == "3g"
    assert found["spark.executor.memory"] == "7g"
    assert found["spark.cores.max"] == "6"
    assert found["spark.jars.packages"] == "a:b:1,c:d:2"
    assert found["spark.jars"] == str(tmp_path / "one.jar")
    assert found["spark.eventLog.dir"] == (tmp_path / "history").as_uri()
    assert (tmp_path / "history").is_dir()
    assert found["spark.eventLog.compress"] == "true"
    assert found["spark.driver.host"] == "127.0.0.1"


def test_a_cluster_elsewhere_finds_us_by_itself(tmp_path: Path) -> None:
    """Only on this machine is the driver's address the loopback; elsewhere a setting may say it."""
    assert "spark.driver.host" not in properties(settings(tmp_path, "spark://master:7077"))
    assert "spark.driver.host" not in properties(settings(tmp_path, "yarn"))
    named = properties(settings(tmp_path, "spark://master:7077", driver_host="10.0.0.9"))
    assert named["spark.driver.host"] == "10.0.0.9"
    assert "spark.driver.bindAddress" not in named


def test_nobody_at_the_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that does not answer is an error at once, without a JVM."""
    monkeypatch.setattr(spark_session, "_shared", None)  # another test's may be open
    with socket.socket() as bound:  # not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        url = f"spark://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(BackendUnavailable, match="Nobody answers"):
            open_session(settings(tmp_path, url))


@pytest.mark.parametrize("url", ["local", "local[2", "yarnish", "mesos://host", ""])
def test_no_such_engine(url: str, tmp_path: Path) -> None:
    """An URL of no engine is an error that lists those there are, masters without scheme too."""
    with pytest.raises(ConfigurationError) as caught:
        open_adapter("engine", load_settings(tmp_path, engine_url=url))
    assert all(name in caught.value.cure for name in ("local://", "local[*]", "spark://", "yarn"))


def test_without_pyspark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    for name in list(sys.modules):
        if name.startswith("nextup.adapters.engine.spark"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ConfigurationError) as caught:
        open_adapter("engine", settings(tmp_path), lake=DeltaLake(str(tmp_path / "lake")))
    assert "pip install 'nextup[spark]'" in caught.value.cure


def test_pins_fit_the_installed_spark() -> None:
    """The connectors are for the PySpark that the extra installs; each has a checksum."""
    pins = connectors.pins()
    assert pins.spark == version("pyspark")
    assert all(len(checksum) == 64 for checksum in pins.jars.values())
    assert len(pins.files()) == len(pins.jars)
    assert "postgresql-42.7.8.jar" in pins.files()


def test_the_driver_for_s3_fits_hadoop() -> None:
    """It is of the Hadoop that PySpark brings along, and comes only where it is wanted."""
    (hadoop,) = (spark_home() / "jars").glob("hadoop-client-api-*.jar")
    version_there = hadoop.stem.rpartition("-")[2]
    added = connectors.pins(s3=True).jars.keys() - connectors.pins().jars.keys()
    assert f"org.apache.hadoop:hadoop-aws:{version_there}" in added
    sdk = {one.rpartition(":")[2] for one in added if one.startswith("software.amazon.awssdk:")}
    assert len(sdk) == 1  # all parts of one version


def test_a_folder_of_jars_holds_those_for_s3_too(tmp_path: Path) -> None:
    """They are sent to executors for a lake on S3 only."""
    for name in ("one.jar", "hadoop-aws-3.5.0.jar"):
        (tmp_path / name).touch()
    names = [jar.name for jar in spark_connectors(settings(tmp_path))]
    assert names == ["one.jar"]
    on_s3 = load_settings(
        tmp_path, lake_url="s3://bucket/lake", spark={"connectors": str(tmp_path)}
    )
    assert [jar.name for jar in spark_connectors(on_s3)] == ["hadoop-aws-3.5.0.jar", "one.jar"]


def test_executors_reach_the_lake_as_it_is_reached_here() -> None:
    """The variables that every client of S3 knows, in Hadoop's words; `spark.config` comes first,
    and nothing is made up where nothing is said."""
    said = {
        "AWS_ACCESS_KEY_ID": "ada",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://all:1",
        "AWS_ENDPOINT_URL_S3": "http://s3:2",
        "AWS_REGION": "moon-1",
    }
    found = s3a_properties(said, {"spark.hadoop.fs.s3a.endpoint.region": "mars-1"})
    assert found == {
        "fs.s3a.access.key": "ada",
        "fs.s3a.secret.key": "secret",
        "fs.s3a.session.token": "token",
        "fs.s3a.aws.credentials.provider": (
            "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider"
        ),
        "fs.s3a.endpoint": "http://s3:2",
        "fs.s3a.path.style.access": "true",
    }
    assert s3a_properties({}, {}) == {}


def test_a_token_is_not_told() -> None:
    """The options of a Spark Connect server's URL are in no error."""
    url = "sc://host:15002/;use_ssl=true;token=s3cr3t"
    assert without_credentials(url) == "sc://host:15002/;..."


def test_progress_over_connect(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar on standard error, which is gone in the end; none where there is nothing to count."""
    stages = [SimpleNamespace(num_tasks=8, num_completed_tasks=2)]
    draw_progress([], 0, None, done=False)
    assert capsys.readouterr().err == ""
    draw_progress(stages, 3, "id", done=False)
    drawn = capsys.readouterr().err
    assert drawn.endswith("(2 + 3) / 8")
    assert drawn.count("=") == 10
    draw_progress(stages, 0, "id", done=True)
    assert capsys.readouterr().err.strip() == ""


def maven(folder: Path, script: str) -> None:
    """A Maven of our own, in a folder that is the whole PATH."""
    program = folder / "mvn"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one in the PATH, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    return tmp_path / "bin"


def test_without_maven(cold: Path, tmp_path: Path) -> None:
    """The error says how to get Maven, and how to do without."""
    with pytest.raises(ConfigurationError) as caught:
        spark_connectors(load_settings(tmp_path))
    assert "maven" in caught.value.cure
    assert "spark.connectors" in caught.value.cure


def test_other_jars_are_refused(cold: Path, tmp_path: Path) -> None:
    """What is not what was pinned is not kept, and the next attempt begins anew."""
    maven(cold, 'for last; do :; done; echo other > "${last#*=}/postgresql-42.7.8.jar"')
    for _ in range(2):
        with pytest.raises(CorruptData, match=r"postgresql-42\.7\.8\.jar"):
            spark_connectors(load_settings(tmp_path))
    assert not list((tmp_path / "cache" / "nextup" / "spark").glob("*/*.jar"))


def test_what_maven_says(cold: Path, tmp_path: Path) -> None:
    """The end of Maven's words is in the error."""
    maven(cold, "echo 'no route to the repository'; exit 1")
    with pytest.raises(BackendUnavailable, match="no route to the repository"):
        spark_connectors(load_settings(tmp_path))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Caused by: java.io.IOException: No space left on device", StorageFull),
        ("Job aborted due to stage failure: ... ExecutorLostFailure", BackendUnavailable),
        ("java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.",
         BackendUnavailable),
        ("java.lang.OutOfMemoryError: Java heap space", BackendUnavailable),
        ("Caused by: org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered",
         CorruptData),
        ("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column ... cannot be resolved", InvalidInput),
        ("ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found",
         ConfigurationError),
        ("something new", BackendUnavailable),
        ("", BackendUnavailable),
    ],
)  # fmt: skip
def test_errors_in_our_words(text: str, kind: type[Exception]) -> None:
    """Spark's errors become ours: one line, without Java's stack."""
    stack = "\n\tat org.apache.spark.executor.Executor.run(Executor.scala:1)"
    told = in_our_words(RuntimeError(text + stack), "local[2]")
    assert isinstance(told, kind)
    assert "\n" not in told.message
    assert "Executor.scala" not in told.message


def test_ours_comes_back_from_an_executor() -> None:
    """An error of ours that an executor raised is raised here, with its words."""
    text = 'File "x.py", line 1\nnextup.domain.errors.Conflict: Somebody else was here.\n'
    told = raised_there(RuntimeError(text))
    assert type(told).__name__ == "Conflict"
    assert str(told) == "Somebody else was here."
    assert raised_there(RuntimeError("java.lang.Error: no")) is None


def test_the_environment_is_left_alone(tmp_path: Path) -> None:
    """Reading settings of Spark changes nothing outside."""
    before = dict(os.environ)
    properties(settings(tmp_path))
    assert dict(os.environ) == before
