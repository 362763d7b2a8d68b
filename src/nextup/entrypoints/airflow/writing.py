"""Write the DAGs of a deployment into Airflow's folder: one file of code, one of data."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Final

from nextup.domain.errors import ConfigurationError
from nextup.entrypoints.airflow.plans import plans_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from nextup.settings import Settings

CODE: Final = "nextup_dags.py"
DATA: Final = "nextup_plan.json"


def write_dags(
    folder: Path, settings: Settings, *, nextup: Sequence[str], since: date
) -> list[Path]:
    """Write both files, in place of earlier ones; returns them.

    `nextup` is the command as Airflow's workers can run it. Days before `since` are not caught up
    with. Raises ConfigurationError where the folder cannot be written.
    """
    plan = {
        "name": settings.recipe or "nextup",
        "nextup": list(nextup),
        "home": str(settings.home),
        "timezone": settings.timezone,
        "since": since.isoformat(),
        "retries": settings.schedule.retries,
        "retry_seconds": settings.schedule.retry_seconds,
        "dags": [asdict(one) for one in plans_of(settings)],
    }
    texts = {
        CODE: (resources.files("nextup") / "entrypoints" / "airflow" / CODE).read_text("utf-8"),
        DATA: json.dumps(plan, indent=2) + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in reversed(texts.items()):  # the data first: the code reads it
            making = folder / f".{name}.new"
            making.write_text(text, encoding="utf-8")
            making.replace(folder / name)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}.",
            cure="Name Airflow's folder of DAGs, and run as somebody who may write there.",
        ) from error
    return [folder / name for name in texts]
