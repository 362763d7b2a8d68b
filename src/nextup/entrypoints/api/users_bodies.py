"""What the routes about people carry, as the OpenAPI document shows them."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 (pydantic reads annotations)
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nextup.entrypoints.api.bodies import Body, plain


class PersonBody(Body):
    """What you keep about a person."""

    attributes: Annotated[dict[str, Any], AfterValidator(plain)] = Field({})

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"attributes": {"country": "FR", "plan": "family"}}]}
    )


class PersonAnswer(BaseModel):
    """Somebody who acts, or whose attributes are kept."""

    user_id: str
    attributes: dict[str, Any]
    touches: int = Field(description="What is remembered of the person's doings.")
    first_at: datetime | None
    last_at: datetime | None


class Act(BaseModel):
    """Something that a person did."""

    item_id: str
    title: str
    type: str = Field(examples=["like"])
    value: float | None = Field(description="The stars of a rating.")
    occurred_at: datetime


class HistoryAnswer(BaseModel):
    """What a person did, the latest first."""

    user_id: str
    history: list[Act]
    next_cursor: str | None = Field(description="Give it back as `cursor`.")
    next: str | None = Field(description="A link to what came before.")


class ReceiptAnswer(BaseModel):
    """What was erased, without naming whom."""

    receipt_id: str = Field(examples=["20261120T080000Z-9f86d081884c"])
    user_sha256: str = Field(description="By it whoever knows the id finds the receipt again.")
    erased_at: datetime
    removed: dict[str, int] = Field(
        description="Records, by place.", examples=[{"event_log": 12, "online_state": 3}]
    )
    old_versions_until: datetime = Field(
        description="When the lake's last old version with the person is gone."
    )
