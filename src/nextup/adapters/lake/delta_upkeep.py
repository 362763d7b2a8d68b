"""How Delta tables are made, given files, and kept small."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from deltalake import PostCommitHookProperties, Schema, WriterProperties

from nextup.adapters.lake.frames import polars_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import CommitProperties, DeltaTable
    from deltalake.transaction import AddAction

    from nextup.schemas.table_schemas import TableSchema

_LOG_RETENTION: Final = "delta.logRetentionDuration"
_FILE_RETENTION: Final = "delta.deletedFileRetentionDuration"
_A_YEAR: Final = "interval 365 days"
UNTIL_MAINTAINED: Final = {_LOG_RETENTION: _A_YEAR, _FILE_RETENTION: _A_YEAR}
"""Of a new table; `maintain` sets what its caller keeps."""
WRITER: Final = WriterProperties(compression="ZSTD", max_row_group_size=262_144)
HOOKS: Final = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_ORPHANS_AFTER_HOURS: Final = 24  # a file without a commit may belong to a write under way
_FILE_BYTES: Final = 128 * 1024 * 1024  # what compaction aims at


def adopt(
    delta: DeltaTable,
    schema: TableSchema,
    files: Sequence[AddAction],
    commit: CommitProperties,
    replacing: bool,
) -> None:
    """Commit files that lie in the table's folder, which get the columns that are new."""
    known = {field.name for field in delta.schema().fields}
    wanted = Schema.from_arrow(polars_schema(schema))
    if new := [field for field in wanted.fields if field.name not in known]:
        delta.alter.add_columns(new)  # by itself: a commit that changes both forgets properties
    delta.create_write_transaction(
        list(files),
        "overwrite" if replacing else "append",
        delta.schema(),
        list(schema.partition_by),
        commit_properties=commit,
        post_commithook_properties=HOOKS,
    )


def maintain(delta: DeltaTable, keep: timedelta) -> None:
    """Compact, checkpoint, and remove what no version younger than `keep` needs."""
    hours = math.ceil(keep / timedelta(hours=1))
    kept = f"interval {hours} hours"
    if delta.metadata().configuration.get(_FILE_RETENTION) != kept:
        delta.alter.set_table_properties({_LOG_RETENTION: kept, _FILE_RETENTION: kept})
    delta.optimize.compact(
        target_size=_FILE_BYTES,
        max_concurrent_tasks=1,  # memory before speed
        writer_properties=WRITER,
        post_commithook_properties=HOOKS,
    )
    delta.vacuum(
        retention_hours=hours,
        dry_run=False,
        enforce_retention_duration=False,
        full=hours >= _ORPHANS_AFTER_HOURS,
        post_commithook_properties=HOOKS,
    )
    delta.create_checkpoint()
    delta.cleanup_metadata()
