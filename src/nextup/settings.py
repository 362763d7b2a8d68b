"""Every setting, with its default and its reason. Read once, frozen, handed down.

One `nextup.toml`; each key can be overridden by the environment: `NEXTUP_EVENT_LOG_URL`, and
`NEXTUP_GATE__MODE` for `mode` in the section `[gate]`. Relative paths and SQLite files are
relative to the folder of the `nextup.toml`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
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
    TomlConfigSettingsSource,
)

from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE_NAME = "nextup.toml"
TENANT = r"^[a-z][a-z0-9_]{0,30}$"


MODELS: dict[str, dict[str, Any]] = {"als": {}, "item_item": {}, "content": {}}
BLEND = {"als": 0.3, "item_item": 0.6, "content": 0.15, "trending": 0.05, "popularity": 0.02}


def _over(defaults: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What is given is laid over the defaults, so that one key can be set by itself."""
    return lambda given: {**defaults, **given} if isinstance(given, dict) else given


class Section(BaseModel):
    """A table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Contracts(Section):
    """What an event must satisfy beyond its JSON Schema."""

    id_type: Literal["string", "int"] = "string"  # "int": user and item ids must be integers
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
    list_depth: PositiveInt = 200  # places of a served or published list
    diversity: Annotated[float, Field(ge=0, le=1)] = (
        0.15  # 0: by score alone; 1: by difference alone
    )
    served_hours: PositiveFloat = 48.0  # how long a served list can be continued and replayed


class Gate(Section):
    """When a new model may take over."""

    mode: Literal["strict", "warn", "off"] = "strict"  # warn: let pass, and say so
    test_days: PositiveFloat = 7.0  # the last days of the history are the test
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1  # or this share, where days are too few
    k: PositiveInt = 10  # NDCG@k decides
    min_people: PositiveInt = 30  # with fewer in the test nothing can be proven
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # of the intervals that decide


class LakeUpkeep(Section):
    """How events get into the lake, and how long its old versions stay."""

    keep_days: NonNegativeFloat = 30.0  # versions younger than this stay readable
    batch_rows: PositiveInt = 500_000  # events per transaction of the lake writer
    collect_seconds: NonNegativeFloat = 60.0  # how often `serve` writes to the lake; 0: never


class Server(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"  # the address to listen on
    port: Annotated[int, Field(ge=0, le=65535)] = (
        8000  # the next free one is taken where this is busy
    )
    max_body_bytes: PositiveInt = 10_000_000  # a larger request is refused
    max_batch: PositiveInt = 10_000  # events in one request


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix="NEXTUP_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        toml_file=None,
    )

    tenant: Annotated[str, Field(pattern=TENANT)] = (
        "default"  # prefixes every name on every backend
    )
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
    tracker_url: str = "null://"  # where experiments are recorded besides the registry

    contracts: Contracts = Contracts()
    weights: Weights = Weights()
    models: Annotated[dict[str, dict[str, Any]], BeforeValidator(_over(MODELS))] = MODELS
    blend: Annotated[dict[str, NonNegativeFloat], BeforeValidator(_over(BLEND))] = BLEND
    trending: Trending = Trending()
    recommend: Recommend = Recommend()
    gate: Gate = Gate()
    lake: LakeUpkeep = LakeUpkeep()
    server: Server = Server()

    home: Annotated[Path, Field(exclude=True)] = Path()  # the folder of the nextup.toml

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller passes wins over the environment, which wins over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(folder: Path | str = ".", **overrides: Any) -> Settings:
    """Read `nextup.toml` in `folder` (its absence means defaults) and the environment.

    Raises ConfigurationError, naming the key and the file, for anything that does not fit.
    """
    home = Path(folder).resolve()
    file = home / FILE_NAME

    class FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=file)

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
