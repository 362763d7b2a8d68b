"""What requests carry and responses look like, as the OpenAPI document shows them."""

from __future__ import annotations

import re
from datetime import datetime  # noqa: TC003 (pydantic reads annotations when it builds a model)
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from nextup.domain.events import EventType
from nextup.domain.items import Item

NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Text that every backend can keep: PostgreSQL, for one, refuses a NUL."""

LONGEST_ID = 500  # characters, as in the events' schemas
DEEPEST = 20  # levels of an item's attributes
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=NO_CONTROL)]
Text = Annotated[str, Field(max_length=1_000, pattern=NO_CONTROL)]
Condition = Annotated[
    str,
    Field(
        max_length=2_000,
        description="Only items that fulfil this; see the guide's page on filters.",
        examples=['kind = "film" and year >= 1990 and genre in ["Horror", "Comedy"]'],
    ),
]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_CONTROL)]


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON or a backend cannot keep and give back: numbers that are none, halves of
    characters, control characters, and depths that exhaust a parser."""
    _check_plain(value, DEEPEST)
    return value


def _check_plain(value: object, depth: int) -> None:
    if depth < 0:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("a number is not finite")
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise ValueError("a text holds a NUL or half a character")
    if isinstance(value, dict | list):
        for part in value:
            _check_plain(part, depth - 1)
    if isinstance(value, dict):
        for part in value.values():
            _check_plain(part, depth - 1)


class Body(BaseModel):
    """A request's body: unknown fields are an error, so that a typing mistake is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(BaseModel):
    """An error (RFC 9457): what happened and what to do next."""

    type: str = Field(examples=["urn:nextup:problem:not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no item 'x'."])
    cure: str = Field("", examples=["GET /v1/items?q= finds items."])
    request_id: str
    errors: list[dict[str, Any]] | None = Field(
        None, description="Each wrong field, where the request did not fit."
    )


class EventAccepted(BaseModel):
    """The event is durable, and counts in that person's next answer."""

    event_id: str
    duplicate: bool = Field(description="The log already held this event_id; nothing was added.")


class EventRow(BaseModel):
    """What became of one record of a batch."""

    row: int
    status: Literal["accepted", "duplicate", "rejected"]
    event_id: str | None = None
    rejected_id: str | None = Field(None, description="Its name in quarantine.")
    rule: str | None = Field(None, description="The rule that it broke.")
    reason: str | None = None


class BatchAccepted(BaseModel):
    """What became of each record; the counts add up to the rows sent."""

    accepted: int
    duplicates: int
    rejected: int
    rows: list[EventRow]


class Reason(BaseModel):
    """One of the person's own items that a recommendation came from."""

    item_id: str
    title: str
    share: float = Field(description="Of all that the person's own items gave, 0..1.")


class Place(BaseModel):
    """A place of a list."""

    rank: int = Field(description="In the whole list, from 1.")
    item_id: str
    score: float
    title: str = ""
    kind: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()
    attributes: dict[str, Any] = Field(
        {},
        description="Those of the item that the settings name; absent where they name none.",
        exclude_if=lambda found: not found,
    )
    source: str = Field(description="The source that contributed most.")
    sources: dict[str, float] = Field(
        description="Each source's part of the score; `reranker` is what a learned order added "
        "or, below zero, took."
    )
    because: list[Reason] = []
    rules: tuple[str, ...] = ()


class Recommendations(BaseModel):
    """A page of a person's list."""

    user_id: str
    level: str = Field(description="fresh, published, trending or popular: who answered.")
    model_id: str | None
    served_at: datetime
    token: str | None = Field(description="Names the whole list: GET /v1/served/{token}.")
    items: list[Place]
    rules: tuple[str, ...] = Field((), description="The rules that acted on the whole list.")
    missing: tuple[str, ...] = Field((), description="What could not be asked.")
    next_page: str | None = Field(description="The token of the following page.")
    next: str | None = Field(description="A link to the following page.")


class ShelfItem(BaseModel):
    """An item on a shelf that is the same for everybody."""

    rank: int
    item_id: str
    score: float
    title: str = ""
    kind: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()


class ShelfAnswer(BaseModel):
    """Items, best first."""

    source: str
    items: list[ShelfItem]
    missing: tuple[str, ...] = ()


class AnonymousTouch(Body):
    """Something that an unnamed person did."""

    item_id: Id
    type: EventType = EventType.LIKE
    value: FiniteFloat | None = None  # the stars of a rating
    occurred_at: datetime | None = None  # None: now


class AnonymousRequest(Body):
    """A history without a name; or a page of a list made from one."""

    history: list[Id | AnonymousTouch] = Field([], max_length=1_000)
    limit: int = Field(20, ge=1, le=200)
    page: str | None = None
    kind: Word | None = None
    genres: list[Word] = Field([], max_length=50)
    exclude: list[Id] = Field([], max_length=10_000)
    pin: list[Id] = Field([], max_length=50)
    diversity: float | None = Field(None, ge=0, le=1)
    explain: bool = True

    filter: Condition = ""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "history": ["film-1", {"item_id": "film-2", "type": "rating", "value": 4.5}],
                    "limit": 5,
                    "filter": 'kind = "film" and year >= 1990',
                }
            ]
        }
    )


class ItemBody(Body):
    """An item as its owner sends it."""

    kind: Word = "item"
    title: Text = ""
    year: int | None = Field(None, ge=-10_000, le=10_000)
    genres: list[Word] = Field([], max_length=50)
    makers: list[Word] = Field([], max_length=200, description="Directors, authors.")
    keywords: list[Word] = Field([], max_length=200)
    available: bool = Field(True, description="Otherwise it is known, and never recommended.")
    attributes: Annotated[dict[str, Any], AfterValidator(plain)] = Field(
        {}, description="Whatever else you keep; filters can ask for it."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "film",
                    "title": "Alien",
                    "year": 1979,
                    "genres": ["Horror", "Science Fiction"],
                    "makers": ["Ridley Scott"],
                    "attributes": {"country": "UK", "minutes": 117},
                }
            ]
        }
    )

    def item(self, item_id: str) -> Item:
        """The item under its id."""
        return Item(
            item_id,
            self.kind,
            self.title,
            self.year,
            tuple(self.genres),
            tuple(self.makers),
            tuple(self.keywords),
            self.available,
            self.attributes,
        )


class NamedItemBody(ItemBody):
    """An item in a batch."""

    item_id: Id


class ItemsBody(Body):
    """Many items, each judged by itself."""

    items: list[Any] = Field(
        min_length=1, description="Each an object as in PUT /v1/items/{item_id}, with its item_id."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"item_id": "film-1", "kind": "film", "title": "Alien", "year": 1979}]}
            ]
        }
    )


class ItemAnswer(BaseModel):
    """An item as the catalogue holds it."""

    item_id: str
    kind: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    makers: tuple[str, ...]
    keywords: tuple[str, ...]
    available: bool
    attributes: dict[str, Any]

    @classmethod
    def of(cls, item: Item) -> ItemAnswer:
        """The catalogue's item."""
        return cls(
            item_id=item.item_id,
            kind=item.kind,
            title=item.title,
            year=item.year,
            genres=item.genres,
            makers=item.makers,
            keywords=item.keywords,
            available=item.available,
            attributes=dict(item.attributes),
        )


class ItemsAnswer(BaseModel):
    """Items that were found."""

    items: list[ItemAnswer]
    next_cursor: str | None = Field(None, description="Give it back as `cursor`.")
    next: str | None = Field(None, description="A link to the following page.")


class ItemRow(BaseModel):
    """What became of one item of a batch."""

    row: int
    status: Literal["kept", "rejected"]
    item_id: str | None = None
    reason: str | None = Field(None, description="The field that does not fit, and why.")


class ItemsPut(BaseModel):
    """What became of each item; the counts add up to the rows sent."""

    items: int = Field(description="Inserted or replaced.")
    rejected: int
    rows: list[ItemRow]


class BackendAnswer(BaseModel):
    """How a backend answered."""

    ok: bool
    seconds: float
    detail: str = ""


class Readiness(BaseModel):
    """Whether this server can do its work."""

    status: Literal["ready", "degraded", "unavailable"]
    backends: dict[str, BackendAnswer]
    model_id: str | None
    model_failure: str = Field("", description="Why the promoted model is not the one in service.")
