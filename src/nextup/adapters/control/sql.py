"""The platform's memory of itself in a SQL database."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Table, delete, func, select, update

from nextup.adapters.control.lock import SqlLocks
from nextup.adapters.control.sql_tables import ControlTables
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_schema import Schema
from nextup.adapters.sql_trial import SqlTrial
from nextup.domain.errors import InvalidInput, NotFound
from nextup.domain.events import from_microseconds, to_microseconds
from nextup.domain.operations import Generation, ModelRecord, Outcome, Run, StepRecord
from nextup.domain.tables import MODEL_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Row

    from nextup.adapters.control.holder import Holder
    from nextup.adapters.sql import Database

STALE_SECONDS = 60.0  # a holder on another machine that is silent for so long is dead


def _now() -> datetime:
    return datetime.now(UTC)


class SqlControl(SqlBackup, SqlTrial):
    """A Control in SQLite or PostgreSQL. Takes the database over: closing this closes it.

    **What a rollback goes back to** is a stack. Promoting a model puts it on top. Switching to
    the one directly beneath the top is a rollback: it takes the top off, so that a second
    rollback goes one further, and a promotion after a rollback has the model that was rolled
    back *to* beneath it, never the one that was rolled back *from*. Any other switch, to a model
    deeper in the stack too, is a promotion; a model occurs once. Switching to None leaves all of
    them in the stack, the one that was in service first.
    """

    uncopied = ("locks",)

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = _now,
        stale_seconds: float = STALE_SECONDS,
        holder: Holder | None = None,
    ) -> None:
        """`holder` is who takes locks, this process unless given."""
        self._database = database
        self._clock = clock
        self._tables = ControlTables(database.table_name)
        self._metadata = self._tables.metadata
        Schema(database, "control").prepare(self._metadata)
        self._locks = SqlLocks(
            database, self._tables.locks, clock=clock, stale_seconds=stale_seconds, holder=holder
        )

    def lock(self, name: str) -> AbstractContextManager[None]:
        """As in the port. Not reentrant: the same process cannot take it twice either. A holder
        on this machine is dead when its process is; one elsewhere when it has been silent for
        `stale_seconds`."""
        return self._locks.hold(name)

    def save_run(self, run: Run) -> None:
        """As in the port."""
        values = {
            "run_id": run.run_id,
            "date": run.date,
            "outcome": run.outcome.value,
            "started_at": to_microseconds(run.started_at),
            "finished_at": _microseconds(run.finished_at),
            "pipeline": run.pipeline,
        }
        with self._database.begin() as connection:
            self._put(connection, self._tables.runs, values)

    def save_step(self, run_id: str, step: StepRecord) -> None:
        """As in the port. Raises NotFound for a run that was never saved."""
        runs, steps = self._tables.runs, self._tables.steps
        with self._database.begin() as connection:
            known = select(runs.c.run_id).where(runs.c.run_id == run_id).with_for_update()
            if connection.execute(known).one_or_none() is None:
                raise NotFound(f"There is no run '{run_id}'.")
            last = select(func.max(steps.c.place)).where(steps.c.run_id == run_id)
            values = {
                "run_id": run_id,
                "step": step.step,
                "place": (connection.execute(last).scalar_one() or 0) + 1,
                "outcome": step.outcome.value,
                "started_at": to_microseconds(step.started_at),
                "seconds": step.seconds,
                "counts": _json(step.counts),
                "message": step.message,
            }
            self._put(connection, steps, values, keep={"place"})

    def runs(self, limit: int = 20) -> Sequence[Run]:
        """As in the port; steps by the time they (last) started."""
        runs, steps = self._tables.runs, self._tables.steps
        latest = (
            select(runs)
            .order_by(runs.c.started_at.desc(), runs.c.run_id.desc())
            .limit(max(limit, 0))
        )
        with self._database.connect() as connection:
            rows = connection.execute(latest).all()
            wanted = steps.c.run_id.in_([row.run_id for row in rows])
            in_order = select(steps).where(wanted).order_by(steps.c.started_at, steps.c.place)
            by_run: dict[str, list[StepRecord]] = defaultdict(list)
            for step in connection.execute(in_order):
                by_run[step.run_id].append(_step(step))
        return [_run(row, by_run[row.run_id]) for row in rows]

    def save_model(self, model: ModelRecord) -> None:
        """As in the port; a model that has been in service stays known to have been, though the
        record says None."""
        models = self._tables.models
        values = {
            MODEL_ID: model.model_id,
            "created_at": to_microseconds(model.created_at),
            "component": model.component,
            "metrics": _json(model.metrics),
            "lineage": _json(model.lineage),
            "promoted_at": _microseconds(model.promoted_at),
            "verdict": model.verdict,
            "passed": model.passed,
        }
        keep = {"promoted_at"} if model.promoted_at is None else set()
        with self._database.begin() as connection:
            self._put(connection, models, values, keep=keep)

    def model(self, model_id: str) -> ModelRecord | None:
        """None for one that is not registered."""
        models = self._tables.models
        with self._database.connect() as connection:
            query = select(models).where(models.c[MODEL_ID] == model_id)
            row = connection.execute(query).one_or_none()
        return None if row is None else _model(row)

    def models(self) -> Sequence[ModelRecord]:
        """As in the port."""
        models = self._tables.models
        query = select(models).order_by(models.c.created_at.desc(), models.c[MODEL_ID].desc())
        with self._database.connect() as connection:
            return [_model(row) for row in connection.execute(query)]

    def current_model(self) -> str | None:
        """As in the port; None before the first promotion too."""
        with self._database.connect() as connection:
            stack = self._stack(connection)
        return stack[0][1] if stack else None

    def set_current_model(self, model_id: str | None) -> str | None:
        """As in the port. Notes the time in the model's `promoted_at`; to the model that is in
        service already it does nothing. See the class for what is a rollback."""
        models, service = self._tables.models, self._tables.service
        with self._database.begin() as connection:
            if not self._database.is_sqlite:  # there writers queue by themselves
                connection.exec_driver_sql(f'LOCK TABLE "{service.name}" IN EXCLUSIVE MODE')
            stack = self._stack(connection)
            current = stack[0][1] if stack else None
            if model_id == current:
                return current
            if model_id is not None:
                stamped = connection.execute(
                    update(models)
                    .where(models.c[MODEL_ID] == model_id)
                    .values(promoted_at=to_microseconds(self._clock()))
                ).rowcount
                if not stamped:
                    raise NotFound(
                        f"There is no model '{model_id}'.", cure="`nextup model list` shows all."
                    )
            self._switch(connection, stack, model_id)
        return current

    def previous_models(self) -> Sequence[str]:
        """As in the port."""
        with self._database.connect() as connection:
            stack = self._stack(connection)
        return [model_id for _, model_id in stack[1:] if model_id is not None]

    def save_generation(self, generation: Generation) -> None:
        """Insert or replace."""
        values = {
            "generation": generation.generation,
            MODEL_ID: generation.model_id,
            "lists": generation.lists,
            "published_at": to_microseconds(generation.published_at),
        }
        with self._database.begin() as connection:
            self._put(connection, self._tables.generations, values)

    def generations(self) -> Sequence[Generation]:
        """As in the port."""
        table = self._tables.generations
        query = select(table).order_by(table.c.published_at.desc(), table.c.generation.desc())
        with self._database.connect() as connection:
            return [
                Generation(name, model_id, lists, from_microseconds(published_at))
                for name, model_id, lists, published_at in connection.execute(query)
            ]

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _stack(self, connection: Connection) -> Sequence[tuple[int, str | None]]:
        """Places and models, the one in service first."""
        service = self._tables.service
        query = select(service.c.place, service.c[MODEL_ID]).order_by(service.c.place.desc())
        return [(place, model_id) for place, model_id in connection.execute(query)]

    def _switch(
        self,
        connection: Connection,
        stack: Sequence[tuple[int, str | None]],
        model_id: str | None,
    ) -> None:
        service = self._tables.service
        top = stack[0][0] if stack else 0
        out_of_service = bool(stack) and stack[0][1] is None
        beneath = stack[1][1] if len(stack) > 1 else None
        if out_of_service or (model_id is not None and model_id == beneath):
            connection.execute(delete(service).where(service.c.place == top))
        if model_id is None or model_id != beneath:
            connection.execute(delete(service).where(service.c[MODEL_ID] == model_id))
            connection.execute(service.insert().values({"place": top + 1, MODEL_ID: model_id}))

    def _put(
        self,
        connection: Connection,
        table: Table,
        values: Mapping[str, Any],
        *,
        keep: set[str] | frozenset[str] = frozenset(),
    ) -> None:
        """Insert the row, or replace all but its key and the columns to keep."""
        keys = [column.name for column in table.primary_key]
        insert = self._database.insert(table).values(dict(values))
        changed = {name: value for name, value in values.items() if name not in {*keys, *keep}}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed))


def _run(row: Row[Any], steps: Sequence[StepRecord]) -> Run:
    finished_at = None if row.finished_at is None else from_microseconds(row.finished_at)
    outcome, started_at = Outcome(row.outcome), from_microseconds(row.started_at)
    return Run(row.run_id, row.date, outcome, started_at, finished_at, tuple(steps), row.pipeline)


def _step(row: Row[Any]) -> StepRecord:
    return StepRecord(
        row.step,
        Outcome(row.outcome),
        from_microseconds(row.started_at),
        row.seconds,
        msgspec.json.decode(row.counts),
        row.message,
    )


def _model(row: Sequence[Any]) -> ModelRecord:
    model_id, created_at, component, metrics, lineage, promoted_at, verdict, passed = row
    return ModelRecord(
        model_id,
        from_microseconds(created_at),
        component,
        msgspec.json.decode(metrics),
        msgspec.json.decode(lineage),
        None if promoted_at is None else from_microseconds(promoted_at),
        verdict,
        passed,
    )


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _json(value: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(dict(value)).decode()
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"A value cannot be stored as JSON: {error}.") from error
