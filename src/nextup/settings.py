"""Every setting, with its default and its reason. Read once, frozen, handed down.

One `nextup.toml`; each key can be overridden by the environment, or by the `.env` beside it:
`NEXTUP_EVENT_LOG_URL`, and `NEXTUP_GATE__MODE` for `mode` in the section `[gate]`. Relative
paths and SQLite files are relative to the folder of the `nextup.toml`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from nextup.domain.errors import ConfigurationError
from nextup.settings_history import History, SharedTables
from nextup.settings_servers import (
    Cassandra,
    Connections,
    KafkaLog,
    MongoDB,
    RedisLists,
    Section,
    Spark,
    Tracking,
)
from nextup.settings_sources import ENV_FILE, TomlFile, url_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILE_NAME = "nextup.toml"
TENANT = r"^[a-z][a-z0-9_]{0,30}$"


MODELS: dict[str, dict[str, Any]] = {"als": {}, "item_item": {}, "content": {}}
BLEND = {"als": 0.3, "item_item": 0.6, "content": 0.15, "trending": 0.05, "popularity": 0.02}


TimeOfDay = Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")]


def _over(defaults: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What is given is laid over the defaults, so that one key can be set by itself."""
    return lambda given: {**defaults, **given} if isinstance(given, dict) else given


class Contracts(Section):
    """What an event must satisfy beyond its JSON Schema."""

    id_type: Literal["string", "int", "int_users"] = (
        "string"  # "int": user and item ids must be integers; "int_users": users' must
    )
    unknown_items: Literal["quarantine", "create"] = "quarantine"  # an event for an unknown item
    future_tolerance_seconds: NonNegativeFloat = 300.0  # how far ahead a client's clock may be
    oldest_event: str = "1970-01-02"  # ISO date; older events are quarantined
    rating_min: float = 0.5  # the lowest rating there is
    rating_max: float = 5.0  # the highest


class Weights(Section):
    """How much an event says about what a person wants."""

    view: NonNegativeFloat = 1.0  # looked at it
    click: NonNegativeFloat = 2.0  # chose it from a list
    like: NonNegativeFloat = 5.0  # said that they like it
    rating: NonNegativeFloat = (
        5.0  # for the highest rating; falls linearly to 0 at `neutral_rating`
    )
    neutral_rating: float = 2.5  # ratings at or below it say nothing good
    half_life_days: NonNegativeFloat = 0.0  # a touch counts half after so long; 0: never fades


class Trending(Section):
    """What many people touch lately."""

    half_life_hours: PositiveFloat = 48.0  # a touch counts half after so long
    window_days: PositiveInt = 14  # counters older than this are forgotten


class Recommend(Section):
    """How lists are made. See `nextup.services.recommend`."""

    candidates: PositiveInt = 500  # from each source
    list_depth: PositiveInt = 60  # places ranked at once; who leafs on gets the next as many
    published_depth: PositiveInt = (
        100  # places of a published one, which stands in for a served one
    )
    diversity: Annotated[float, Field(ge=0, le=1)] = (
        0.15  # 0: by score alone; 1: by difference alone
    )
    served_hours: PositiveFloat = 48.0  # how long a served list can be continued and replayed
    num_recommendations: PositiveInt = 10  # places of a list in a recipe's own routes
    attributes: list[str] = []  # of an item, which a place of a list shows, too
    cache_seconds: NonNegativeFloat = (
        5.0  # an answer is given again while nothing changed; 0: never
    )
    kept_seconds: NonNegativeFloat = (
        0.0  # likewise by all servers that share a Redis as online state; 0: never
    )


class Gate(Section):
    """When a new model may take over."""

    mode: Literal["strict", "warn", "off"] = "strict"  # warn: let pass, and say so
    test_days: PositiveFloat = 7.0  # the last days of the history are the test
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1  # or this share, where days are too few
    k: PositiveInt = 10  # NDCG@k decides
    min_people: PositiveInt = 30  # with fewer in the test nothing can be proven
    people: NonNegativeInt = 20_000  # are asked at most, drawn by the seed; 0: everybody
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # of the intervals that decide


class Reranker(Section):
    """The learned order of a list's first places: what people did after lists like these."""

    mode: Literal["auto", "off"] = "auto"  # auto: where it is proven better than the blend
    moments: PositiveInt = 3  # of the past that are asked about, `gate.test_days` apart
    people: PositiveInt = 1000  # are asked about at each moment, at most
    touches: NonNegativeInt = 500_000  # of more, some people's are read, at one moment; 0: all
    min_questions: PositiveInt = 100  # with fewer answers nothing reliable is learned
    pool: PositiveInt = 100  # of the blend's best are brought into order, the rest follow
    trees: PositiveInt = 100  # at most; growing stops where others gain no more
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # that it is better than the blend


class Bronze(Section):
    """A data set whose own files lie in bronze, as `nextup bronze fetch` puts them there."""

    dataset: str = "ml-25m"  # MovieLens: ml-25m, ml-32m, ml-20m, ml-latest-small, or a name
    source: str = ""  # a URL, a zip file or a folder; empty: the publisher of that edition


class LakeUpkeep(Section):
    """How events get into the lake, and how long its old versions stay."""

    keep_days: NonNegativeFloat = 30.0  # versions younger than this stay readable
    batch_rows: PositiveInt = 500_000  # events per transaction of the lake writer
    collect_seconds: NonNegativeFloat = 60.0  # how often `serve` writes to the lake; 0: never


class Schedule(Section):
    """When what is done every day, in `timezone`; without a time it is not."""

    pipelines: dict[str, TimeOfDay] = {}  # {nextup_daily = "03:00"}: other times than their own
    backup: TimeOfDay = ""  # an archive of everything, as `nextup backup` makes one
    catch_up_days: NonNegativeInt = 7  # days that a pipeline missed and makes up for, at most
    retries: NonNegativeInt = 3  # of what failed, until its next time
    retry_seconds: PositiveFloat = 300.0  # until what failed is tried again
    backup_folder: str = "backups"  # where archives go
    backup_keep: PositiveInt = 7  # of them; older ones are removed


class Stream(Section):
    """Who moves events from the log on: `nextup stream`, or the server by itself."""

    in_server: Literal["auto", "yes", "no"] = (
        "auto"  # `serve` writes lake and state itself; auto: unless the log lives in topics
    )
    intake_rows: PositiveInt = 1000  # messages of other programs that are taken in at once
    lists: bool = False  # on Spark: make new lists for whoever did something, person by person
    lists_seconds: NonNegativeFloat = 5.0  # how often; 0: as soon as the last ones are made
    checkpoints: str = ""  # where Spark notes how far its streams are; empty: beside the tables


class Server(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"  # the address to listen on
    only_here: bool = (
        False  # nobody but this machine reaches it, as a container published on 127.0.0.1
    )
    port: Annotated[int, Field(ge=0, le=65535)] = (
        8000  # the next free one is taken where this is busy
    )
    max_body_bytes: PositiveInt = 10_000_000  # a larger request is refused
    max_batch: PositiveInt = 10_000  # events in one request
    cors_origins: list[str] = []  # web pages that may call: "https://shop.example"
    compress_bytes: NonNegativeInt = 16_384  # larger answers are compressed when asked; 0: never
    workers: PositiveInt = 1  # processes that share the port; about as many as there are cores
    max_in_flight: PositiveInt = 512  # requests at work in a worker; more are told to come later
    max_wait_seconds: PositiveFloat = 1.0  # likewise those that would wait longer than this
    max_connections: PositiveInt = 4_096  # open at once, for each worker
    head_seconds: PositiveFloat = 10.0  # in which a request's line and headers must arrive
    body_seconds: PositiveFloat = 30.0  # in which its body must, and its answer be read
    drain_seconds: NonNegativeFloat = (
        0.0  # after SIGTERM go on answering for so long, while a load balancer looks elsewhere
    )


class Logs(Section):
    """What is logged, to standard error; never a body, a header or a token."""

    format: Literal["text", "json"] = "text"  # json: one object a line, for machines
    level: Literal["debug", "info", "warning", "error"] = "info"  # what is less grave is left out
    requests: bool = False  # a line for each request, with its route, status, time and client
    commands: str = ""  # folder in files_url where each command leaves its log; empty: nowhere
    name: str = ""  # what such a log's name begins with; empty: the command's name


class Metrics(Section):
    """Where `nextup stream` and `nextup schedule` can be scraped; `serve` has its /metrics."""

    host: str = "127.0.0.1"  # the address to listen on
    stream_port: Annotated[int, Field(ge=0, le=65535)] = 0  # of `nextup stream`; 0: none
    schedule_port: Annotated[int, Field(ge=0, le=65535)] = 0  # of `nextup schedule`; 0: none
    vitals_seconds: Annotated[float, Field(gt=0, le=60)] = (
        15.0  # so often `serve` asks each backend what it tells of them
    )


class Telemetry(Section):
    """Traces, sent with OpenTelemetry."""

    endpoint: str = ""  # OTLP over HTTP: "http://collector:4318/v1/traces"; empty: no traces
    service: str = "nextup"  # the name under which they appear
    share: Annotated[float, Field(ge=0, le=1)] = 1.0  # of the requests that nobody else traces


class Access(Section):
    """Who may call the API, and how much."""

    auth: Literal["keys", "none"] = "keys"  # "none": everybody may do everything, on 127.0.0.1 only
    people: Literal["tenant", "client"] = (
        "tenant"  # "client": each client of a tenant has people of its own
    )
    registration: Literal["closed", "open"] = "closed"  # "open": anybody may register as a client
    admin: str = "admin"  # the client that the first start makes
    admin_password: Annotated[str, Field(repr=False)] = ""  # its password; empty: one is made
    token_seconds: PositiveInt = 900  # how long a token is good
    rotate_days: PositiveFloat = 30.0  # how long a key signs tokens before the next one does
    issuer: str = "nextup"  # who issues tokens: one name for each deployment
    audience: str = "nextup-api"  # whom tokens are for
    logins_per_minute: PositiveInt = 10  # attempts to get a token, per client and address
    per_second: NonNegativeFloat = 0.0  # requests of a client without a limit of its own; 0: any
    burst: NonNegativeInt = 0  # of them at once; 0: as many as in a second
    per_day: NonNegativeInt = 0  # requests within a day of UTC, likewise; 0: any


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix="NEXTUP_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        toml_file=None,
        dotenv_filtering="match_prefix",
    )

    tenant: Annotated[str, Field(pattern=TENANT)] = (
        "default"  # prefixes every name on every backend
    )
    recipe: Literal[
        "",
        "book-platform",
        "movielens-streaming",
        "film-lakehouse",
        "platform-api",
        "rating-service",
    ] = ""  # whose own routes are served beside /v1, where it has any
    timezone: str = "UTC"  # whose midnight ends a day of the pipeline
    seed: NonNegativeInt = 42  # of everything random
    threads: NonNegativeInt = 0  # for training and ranking; 0: as many as there are cores

    event_log_url: str = "sqlite:///data/events.db"  # the truth: every event
    catalog_url: str = "sqlite:///data/catalog.db"  # items and people
    lake_url: str = "file://data/lake"  # Delta tables: bronze, silver, gold
    files_url: str = "file://data/files"  # models, raw data, manifests, receipts
    recommendation_store_url: str = "sqlite:///data/lists.db"  # published lists, or memory://
    online_state_url: str = "sqlite:///data/state.db"  # live histories and counters, or memory://
    control_url: str = "sqlite:///data/control.db"  # runs, locks, models
    engine_url: str = "local://"  # where transformations and training run
    tracker_url: str = "null://"  # where experiments are recorded besides the registry: mlflow://
    kaggle_url: str = "https://www.kaggle.com/api/v1"  # who is asked for kaggle:owner/name
    folders: dict[str, str] = {}  # {models = "models/als"}: other names for folders in files_url

    contracts: Contracts = Contracts()
    weights: Weights = Weights()
    models: Annotated[dict[str, dict[str, Any]], BeforeValidator(_over(MODELS))] = MODELS
    blend: Annotated[dict[str, NonNegativeFloat], BeforeValidator(_over(BLEND))] = BLEND
    trending: Trending = Trending()
    recommend: Recommend = Recommend()
    gate: Gate = Gate()
    reranker: Reranker = Reranker()
    bronze: Bronze = Bronze()
    lake: LakeUpkeep = LakeUpkeep()
    schedule: Schedule = Schedule()
    stream: Stream = Stream()
    history: History = History()
    shared_tables: SharedTables = SharedTables()
    kafka: KafkaLog = KafkaLog()
    connections: Connections = Connections()
    redis: RedisLists = RedisLists()
    server: Server = Server()
    access: Access = Access()
    logs: Logs = Logs()
    metrics: Metrics = Metrics()
    telemetry: Telemetry = Telemetry()
    cassandra: Cassandra = Cassandra()
    mongodb: MongoDB = MongoDB()
    tracking: Tracking = Tracking()
    spark: Spark = Spark()
    options: dict[str, Any] = {}  # of the recipe, which says what there is; a section of its own

    home: Annotated[Path, Field(exclude=True)] = Path()  # the folder of the nextup.toml

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        """What the caller passes wins over the environment, which wins over the files."""
        return init_settings, env_settings, url_files, dotenv_settings, TomlFile(settings_cls)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """All fields; of a URL no more than nobody minds."""
        for name, value in super().__repr_args__():
            yield name, without_credentials(value) if str(name).endswith("_url") else value


def without_credentials(url: str) -> str:
    """The URL without user, password and options, any of which may be secret."""
    scheme, slashes, rest = url.partition("://")
    mark = "/;" if scheme == "sc" else "?"  # Spark Connect has its options, a token too, there
    place, options, _ = rest.partition(mark)
    return f"{scheme}{slashes}{place.rpartition('@')[2]}{options and f'{mark}...'}"


def load_settings(folder: Path | str = ".", **overrides: Any) -> Settings:
    """Read `nextup.toml` in `folder` (its absence means defaults) and the environment.

    Raises ConfigurationError, naming the key and the file, for anything that does not fit.
    """
    home = Path(folder).resolve()
    file = home / FILE_NAME

    class FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=file, env_file=home / ENV_FILE)

    try:
        return FileSettings(home=home, **overrides)
    except ValidationError as error:
        raise ConfigurationError(
            _explain(error, file), cure="`nextup doctor` checks a change."
        ) from error
    except SettingsError as error:  # such as NEXTUP_GATE=warn
        raise ConfigurationError(
            f"The environment cannot be read: {error}.",
            cure="A key of a section is set like NEXTUP_GATE__MODE=warn.",
        ) from error
    except (ValueError, OSError) as error:  # a file that is not TOML, or cannot be read
        raise ConfigurationError(
            f"{file} cannot be read: {error}.", cure="`nextup init` in a new folder shows the form."
        ) from error


def _explain(error: ValidationError, file: Path) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    parts = [str(part).upper() for part in first["loc"]]
    variables = ["NEXTUP_" + "__".join(parts[:n]) for n in range(len(parts), 0, -1)]
    from_outside = next((name for name in variables if name in os.environ), None)
    where = f"environment variable {from_outside}" if from_outside else str(file)
    what = "is not a setting" if first["type"] == "extra_forbidden" else first["msg"].lower()
    return f"Setting '{key}' ({where}): {what}."
