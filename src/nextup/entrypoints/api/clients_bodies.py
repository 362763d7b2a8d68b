"""What requests about clients carry and responses look like."""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 (pydantic reads annotations)
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from nextup.domain.clients import CLIENT_ID, ApiKey, Client, Scope
from nextup.entrypoints.api.bodies import Body, Text
from nextup.settings import TENANT

Name = Annotated[str, Field(pattern=CLIENT_ID, examples=["shop"])]
Password = Annotated[str, Field(min_length=1, max_length=256, examples=["a long one, not guessed"])]
Rate = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class ClientChange(Body):
    """What shall be different; the rest stays."""

    scopes: list[Scope] | None = Field(None, min_length=1)
    password: Password | None = None
    per_second: Rate | None = Field(None, description="Requests per second; 0: any.")
    burst: Count | None = Field(None, description="At once; 0: as many as in a second.")
    per_day: Count | None = Field(None, description="Requests within a day of UTC; 0: any.")


class NewClient(ClientChange):
    """A client to be."""

    client_id: Name
    tenant: Annotated[str, Field(pattern=TENANT)] | None = Field(
        None, description="The admin's own, if not given."
    )
    scopes: list[Scope] | None = Field(None, min_length=1, description="If not given: read, write.")


class KeyNote(Body):
    """Where a key is used."""

    note: Text = Field("", examples=["staging"])


class TokenRequest(Body):
    """A client's name and password; OAuth2 calls them client_id and client_secret."""

    client_id: str = Field(max_length=200, examples=["shop"])
    password: str = Field(max_length=1_000, examples=["a long one, not guessed"])
    scope: str | None = Field(None, max_length=200, description="Fewer scopes, if wanted.")


class TokenAnswer(BaseModel):
    """A token for the header `Authorization: Bearer ...`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (a word of OAuth2)
    expires_in: int = Field(description="Seconds.", examples=[900])
    scope: str = Field(examples=["read write"])


class ClientAnswer(BaseModel):
    """A client, without anything secret."""

    client_id: str = Field(examples=["shop"])
    tenant: str = Field(examples=["default"])
    scopes: list[Scope]
    has_password: bool
    per_second: float
    burst: int
    per_day: int
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, client: Client) -> ClientAnswer:
        """As it is kept."""
        return cls(
            client_id=client.client_id,
            tenant=client.tenant,
            scopes=sorted(client.scopes),
            has_password=bool(client.password_hash),
            per_second=client.per_second,
            burst=client.burst,
            per_day=client.per_day,
            created_at=client.created_at,
            revoked_at=client.revoked_at,
        )


class KeyAnswer(BaseModel):
    """An API key, without its secret."""

    key_id: str = Field(examples=["5f1c0a9be2d4"])
    note: str
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyAnswer:
        """As it is kept."""
        return cls(
            key_id=key.key_id,
            note=key.note,
            created_at=key.created_at,
            revoked_at=key.revoked_at,
        )


class NewKeyAnswer(KeyAnswer):
    """A new API key with its secret."""

    api_key: str = Field(description="Shown only now; nobody can read it again.")


class NewClientAnswer(ClientAnswer):
    """A new client with its first key."""

    key_id: str
    api_key: str = Field(description="Shown only now; nobody can read it again.")


class ClientDetail(ClientAnswer):
    """A client with its keys."""

    keys: list[KeyAnswer]


class ClientsAnswer(BaseModel):
    """All clients that the caller may see, by name."""

    clients: list[ClientAnswer]


class UsageRow(BaseModel):
    """What happened on one day of UTC."""

    day: date
    requests: int = Field(description="Let in.")
    by_scope: dict[str, int]
    refused: int = Field(description="Beyond a limit.")


class UsageAnswer(BaseModel):
    """What a client used, by day; days without anything are left out."""

    client_id: str
    days: list[UsageRow]
