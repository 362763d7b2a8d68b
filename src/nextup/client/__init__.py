"""A client for a Nextup server, in Python: `pip install 'nextup[client]'`.

    from nextup.client import Client

    with Client("http://127.0.0.1:8000", api_key="nxk_...") as nextup:
        nextup.send("like", "ada", "film:alien-1979")
        for place in nextup.recommendations("ada", limit=5):
            print(place.rank, place.title)

`AsyncClient` has the same methods, to be awaited.
"""

from nextup.client.answers import (
    Accepted,
    Act,
    BatchResult,
    Item,
    Person,
    Place,
    Reason,
    Receipt,
    Recommendations,
    Reranked,
    Row,
    Shelf,
    ShelfItem,
)
from nextup.client.async_batches import AsyncBatch
from nextup.client.asynchronous import AsyncClient
from nextup.client.batches import Batch
from nextup.client.problems import (
    BatchFailed,
    Conflict,
    InvalidRequest,
    LimitReached,
    NextupProblem,
    NotAllowed,
    NotFound,
    NotSignedIn,
    ServerFailure,
    Unavailable,
    Unreachable,
)
from nextup.client.retries import Retries
from nextup.client.sync import Client

__all__ = [
    "Accepted",
    "Act",
    "AsyncBatch",
    "AsyncClient",
    "Batch",
    "BatchFailed",
    "BatchResult",
    "Client",
    "Conflict",
    "InvalidRequest",
    "Item",
    "LimitReached",
    "NextupProblem",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Person",
    "Place",
    "Reason",
    "Receipt",
    "Recommendations",
    "Reranked",
    "Retries",
    "Row",
    "ServerFailure",
    "Shelf",
    "ShelfItem",
    "Unavailable",
    "Unreachable",
]
