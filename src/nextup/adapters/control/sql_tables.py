"""The tables of the control data in a SQL database. Times are microseconds since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Column, Float, ForeignKey, MetaData, Table, Text

from nextup.adapters.sql import Id, Number
from nextup.domain.pipelines import DAILY
from nextup.domain.tables import MODEL_ID

if TYPE_CHECKING:
    from collections.abc import Callable


class ControlTables:
    """Runs and their steps, models, what was in service, generations, locks."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self.metadata = MetaData()
        self.runs = Table(
            name("runs"),
            self.metadata,
            Column("run_id", Id, primary_key=True),
            Column("date", Text, nullable=False),
            Column("outcome", Text, nullable=False),
            Column("started_at", Number, nullable=False, index=True),
            Column("finished_at", Number),
            Column("pipeline", Text, nullable=False, server_default=DAILY),
        )
        self.steps = Table(
            name("run_steps"),
            self.metadata,
            Column("run_id", Id, ForeignKey(self.runs.c.run_id), primary_key=True),
            Column("step", Id, primary_key=True),
            Column("place", Number, nullable=False),  # in the run, where times are equal
            Column("outcome", Text, nullable=False),
            Column("started_at", Number, nullable=False),
            Column("seconds", Float(53), nullable=False),
            Column("counts", Text, nullable=False),  # a JSON object
            Column("message", Text, nullable=False),
        )
        self.models = Table(
            name("models"),
            self.metadata,
            Column(MODEL_ID, Id, primary_key=True),
            Column("created_at", Number, nullable=False),
            Column("component", Text, nullable=False),
            Column("metrics", Text, nullable=False),  # this and the next: a JSON object
            Column("lineage", Text, nullable=False),
            Column("promoted_at", Number),
            Column("verdict", Text, nullable=False),
            Column("passed", Boolean, nullable=False),
        )
        # A stack: the highest place is in service, those below are where rollbacks go.
        self.service = Table(
            name("models_in_service"),
            self.metadata,
            Column("place", Number, primary_key=True, autoincrement=False),
            Column(MODEL_ID, Id, ForeignKey(self.models.c[MODEL_ID])),  # empty: none in service
        )
        self.generations = Table(
            name("generations"),
            self.metadata,
            Column("generation", Id, primary_key=True),
            Column(MODEL_ID, Id),
            Column("lists", Number, nullable=False),
            Column("published_at", Number, nullable=False),
        )
        self.locks = Table(
            name("locks"),
            self.metadata,
            Column("name", Id, primary_key=True),
            Column("token", Text, nullable=False),  # one acquisition; made up by the holder
            Column("host", Text, nullable=False),
            Column("place", Text, nullable=False),
            Column("pid", Number, nullable=False),
            Column("started", Text, nullable=False),
            Column("since", Number, nullable=False),
            Column("heartbeat_at", Number, nullable=False),
        )
