"""Data sets from Kaggle, with the account's own key."""

from __future__ import annotations

import base64
import re
import zipfile
from typing import TYPE_CHECKING, Final

from nextup.domain.errors import ConfigurationError, CorruptData, InvalidInput, NotFound
from nextup.services.downloads import Refused, download

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextup.services.downloads import Download, Progress

PREFIX: Final = "kaggle:"
USERNAME, KEY = "KAGGLE_USERNAME", "KAGGLE_KEY"
_DATASET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
_CURE: Final = (
    f"Set {USERNAME} and {KEY} as in the kaggle.json that Kaggle's page of your account gives you."
)


def fetch_dataset(
    dataset: str, folder: Path, *, address: str, variables: Mapping[str, str], progress: Progress
) -> Download:
    """The data set's archive, `owner/name`, in the folder; fetched once.

    Raises ConfigurationError where the key is missing or refused. It is shown to `address` alone
    and stands in no message.
    """
    if not _DATASET.fullmatch(dataset):
        raise InvalidInput(
            f"'{dataset}' is no data set of Kaggle.",
            cure=f"Write {PREFIX}owner/name, as its page's address ends.",
        )
    name = f"kaggle-{dataset.replace('/', '-')}.zip"
    url = f"{address.rstrip('/')}/datasets/download/{dataset}"
    cure = f"Fetch it elsewhere, then: nextup ingest movielens <path to {name}>"
    try:
        got = download(
            url,
            folder,
            cure=cure,
            progress=progress,
            name=name,
            authorization="" if (folder / name).exists() else _authorization(variables),
        )
    except Refused as error:
        if error.code in {401, 403}:
            raise ConfigurationError(
                f"Kaggle refuses the key, or {dataset} to whose it is ({error.code}).",
                cure=f"{_CURE} Some data sets ask for a consent on their page first.",
            ) from error
        if error.code == 404:
            raise NotFound(
                f"Kaggle has no data set {dataset}.", cure="Its page's address ends with its name."
            ) from error
        raise
    if not zipfile.is_zipfile(got.path):
        got.path.unlink()
        raise CorruptData(
            f"What {url} sent is no zip archive; it was removed.", cure="Run the command again."
        )
    return got


def _authorization(variables: Mapping[str, str]) -> str:
    missing = [name for name in (USERNAME, KEY) if not variables.get(name)]
    if missing:
        raise ConfigurationError(f"Kaggle asks for {' and '.join(missing)}.", cure=_CURE)
    pair = f"{variables[USERNAME]}:{variables[KEY]}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
