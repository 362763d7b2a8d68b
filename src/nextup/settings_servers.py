"""The sections of the settings that are about servers: how each is reached, and what it is asked
to make. `settings.py` puts them together with all others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


class Section(BaseModel):
    """A table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SQL_NAME = r"^([a-z_][a-z0-9_]{0,62})?$"

Secret = Annotated[str, Field(repr=False, exclude=True)]
"""Appears in no `repr` and in no copy of the settings that is written down."""


class KafkaLog(Section):
    """An event log on Kafka: how its topics are made, and how its brokers are reached."""

    partitions: PositiveInt = 3  # of the event topic when it is created; not to be changed later
    replication: PositiveInt = 1  # copies of each partition; 3 outlive the loss of a broker
    retention_hours: NonNegativeFloat = 0.0  # events older than this are removed; 0: never
    dead_letter: str = ""  # topic of records that broke a contract; empty: <event topic>_rejected
    topics: dict[str, str] = {}  # {view = "view_events"}: events of a type are copied to the topic
    others: list[str] = []  # further topics that are made, and checked, with these
    intake: list[str] = []  # topics that others write events to; `nextup stream` takes them in
    rating_format: Literal["event", "movielens"] = "event"  # how ratings in copies are written
    dedupe_events: PositiveInt = 20_000  # how far back in a partition a repeated id is noticed
    timeout_seconds: PositiveFloat = 10.0  # for brokers to answer or to acknowledge
    session_seconds: PositiveFloat = 10.0  # a silent `nextup stream` loses its share after so long
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = (
        "plaintext"  # ssl: encrypted; sasl: with a user name and password
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"  # how SASL proves it
    username: str = ""  # for SASL
    password: Secret = ""  # for SASL; better in the environment than in the file
    password_file: str = ""  # a file with the password, instead of it
    ca_file: str = ""  # PEM, who signed the brokers' certificates; empty: whom the system trusts
    certificate_file: str = ""  # PEM, our own certificate, where brokers ask for one
    key_file: str = ""  # PEM, its private key
    key_password: Secret = ""  # of the private key


class Connections(Section):
    """How servers are reached: PostgreSQL, Redis and S3. What is embedded has none of this."""

    pool: PositiveInt = 20  # connections of a process to one backend, at most
    connect_seconds: PositiveFloat = 5.0  # to wait for a connection, new or out of the pool
    answer_seconds: PositiveFloat = 60.0  # to wait for one answer; a silent server is given up
    retries: NonNegativeInt = 2  # of a call that can be repeated, after the connection was lost
    ca_file: str = ""  # PEM, who signed the server's certificate (rediss://); empty: the system
    schema_name: Annotated[str, Field(pattern=SQL_NAME)] = (
        ""  # PostgreSQL's schema for our tables, made where it is absent; empty: the server's own
    )


class RedisLists(Section):
    """Published lists on Redis."""

    layout: Literal["generations", "list", "json"] = (
        "generations"  # for other programs, per person: a LIST of item ids, or JSON with scores
    )
    list_key: str = "user:{user_id}"  # the key of a person's list in the other two layouts
    item_field: str = "movieId"  # of the layout `json`, an int
    score_field: str = "rating"  # likewise
    keep_hours: PositiveFloat = 168.0  # a generation that is not in service expires after so long


class Cassandra(Section):
    """How `cassandra://` is spoken to."""

    consistency: Literal[
        "one", "local_one", "two", "quorum", "local_quorum", "each_quorum", "all"
    ] = "local_quorum"  # how many replicas must answer, for reading and writing
    replication: PositiveInt = 1  # copies of each row, where the keyspace has to be made
    data_center: str = ""  # the nearest one; empty: that of the node that answers first
    timeout_seconds: PositiveFloat = 2.0  # to wait for one answer
    scan_seconds: PositiveFloat = 60.0  # to wait for a page of all keys, or a new table
    retry_seconds: NonNegativeFloat = 30.0  # how long a write waits for nodes that are away
    in_flight: PositiveInt = 128  # writes under way at once
    tls: bool = False  # speak TLS
    ca_file: str = ""  # whom to trust; empty: whom the system trusts
    layout: Literal["generations", "rows"] = (
        "generations"  # rows: one per item, for other programs; replaced person by person
    )
    table: str = "recommendations"  # of the layout `rows`
    user_column: str = "userId"  # likewise, an int
    item_column: str = "movieId"  # likewise, an int


class MongoDB(Section):
    """How `mongodb://` is spoken to, and what its collections are called."""

    timeout_seconds: PositiveFloat = 2.0  # to find a server that answers
    scan_seconds: PositiveFloat = 60.0  # to wait for one answer, of many documents
    retry_seconds: NonNegativeFloat = 30.0  # how long a write waits for a server that is away
    lease_seconds: PositiveFloat = 10.0  # a writer of items that is silent for so long is replaced
    items: str = "items"  # the collection of items
    people: str = "people"  # the collection of people
    layout: Literal["generations", "documents"] = (
        "generations"  # documents: one list per person, for other programs; replaced one by one
    )
    lists: str = "recommendations"  # the collection of lists in the layout `documents`
    user_field: str = "userId"  # likewise, an int
    item_field: str = "movieId"  # likewise, an int; items have it, too
    score_field: str = "rating"  # likewise


class Spark(Section):
    """The engine on Spark, where `engine_url` names a master of one."""

    driver_memory: str = "1g"  # of the JVM beside this process
    executor_memory: str = "1g"  # of each executor
    executor_cores: PositiveInt = 1  # of each executor
    max_cores: NonNegativeInt = 0  # of the whole cluster, at most; 0: as many as it has
    executors: NonNegativeInt = 0  # on YARN and Kubernetes; 0: theirs to decide
    shuffle_partitions: PositiveInt = 64  # after a join or a group; small ones are put together
    file_bytes: PositiveInt = 134_217_728  # of a table, read by one task
    snapshot_partitions: PositiveInt = 2  # of a table's log; 50 suit tables of many thousand files
    connectors: str = ""  # a folder with the jars; empty: fetched once, through Maven
    packages: list[str] = []  # more jars, as Maven coordinates, which Spark fetches at each start
    python: str = ""  # the executors' interpreter; empty: the one that runs here
    driver_host: str = ""  # how executors reach this process; empty: Spark finds out
    model_folder: str = (
        ""  # of files_url, where MLlib's own models are kept, too: "model/{model_id}"
    )
    event_log_folder: str = ""  # what Spark's history server reads; empty: nothing is written
    training_folder: str = ""  # what a training keeps meanwhile; empty: beside the lake's tables
    ui: bool = False  # Spark's own web pages, at port 4040
    progress: Literal["auto", "yes", "no"] = "auto"  # bars on standard error; auto: on a terminal
    config: dict[str, str] = {}  # any other property of Spark, by its name; wins over all others


class Tracking(Section):
    """What a tracker calls what it is told. Other tenants' names begin with their prefix."""

    experiment: str = "nextup"  # the experiment that each training is a run of
    model: str = "nextup"  # the registered model that each artifact is a version of
    alias: str = "in_service"  # of the version that serves
    previous_alias: str = "previous"  # of the one a rollback returns to
    artifacts: str = "data/mlflow"  # folder of runs' files, where no tracking server has its own
