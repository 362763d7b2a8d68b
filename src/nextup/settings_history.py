"""The sections of the settings that are about tables which other programs read and write, too:
histories that are extracted day by day, and a catalogue and a record of events in such tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from nextup.settings_servers import Section

ACTIONS = ["LIKE", "VIEW"]


class History(Section):
    """Another program's database, and the folders that a day of it is extracted into."""

    url: Annotated[str, Field(repr=False, exclude=True)] = (
        ""  # postgresql://user:password@host:5432/database, where people's actions are
    )
    table: str = "Interaction"  # one row per action; "schema.table" names a schema
    id_column: str = "id"  # its whole numbers divide the work; any order will do
    user_column: str = "user_id"  # who acted
    item_column: str = "book_id"  # what it was done to
    action_column: str = "action"  # what was done
    at_column: str = "action_date"  # when; without a time zone it is UTC
    actions: list[str] = ACTIONS  # those that are counted; a column of the files each
    item_table: str = "Book"  # what says how items are called outside; empty: as in item_column
    item_key: str = "id"  # its column that item_column names
    item_name: str = "isbn"  # its column that goes into the files
    user_name: str = "user_id"  # the files' first column; the second is called as item_name
    parts: PositiveInt = 4  # connections that read at once, and files of a day
    format: Literal["csv", "parquet"] = "csv"  # of the files
    processed: str = "processed/interactions"  # a day's folder goes here, as yyyy/mm/dd,
    raw: str = "raw/interactions"  # its copy here,
    dataset: str = "raw/interactions/DataSet"  # and into the history here, as yyyy-mm-dd


class SharedTables(Section):
    """Tables of other programs in the place of our own. That of actions and that of items, and the
    columns by which they are joined, are named in [history]."""

    catalog: bool = False  # items and people are rows of these tables, in catalog_url
    events: dict[str, str] = {}  # {like = "LIKE"}: an event of the type is a row of history.table,
    # too, with this action, written in the transaction that logs it, in event_log_url
    kind: str = "book"  # the kind of all items
    title_column: str = "title"  # of history.item_table, whose history.item_name is the item's id
    rating_column: str = "rating"  # likewise; a number, or none
    category_column: str = "category_id"  # likewise; names a row of the next table, or none
    category_table: str = "Category"  # one row per category
    category_key: str = "id"  # its column that category_column names
    category_name: str = "name"  # its column with the name
    user_table: str = "User"  # one row per person; made when somebody unknown acts
    user_key: str = "id"  # its whole number, which history.user_column names; the person's id
    email_column: str = "email"  # an attribute of the person
    username_column: str = "username"  # likewise
