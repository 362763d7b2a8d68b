"""What an import did, in counts that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from nextup.domain.errors import NextupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.domain.events import Rejected

_SAMPLES = 5  # rejections of each rule that the report quotes


@dataclass(slots=True)
class IngestReport:
    """Rows in, and what became of each. `check` proves that none is missing."""

    dataset: str
    rows: int = 0  # of events; header and blank lines are none
    accepted: int = 0
    duplicates: int = 0  # the log held the event already, or the file has its id twice
    quarantined: Counter[str] = field(default_factory=Counter)  # by rule
    newly_quarantined: int = 0  # those that quarantine did not hold from an earlier try
    blank_lines: int = 0
    item_rows: int = 0
    items: int = 0  # distinct
    items_repeated: int = 0  # rows whose id came again later in the file; the last one counts
    items_quarantined: Counter[str] = field(default_factory=Counter)  # by rule
    notes: list[str] = field(default_factory=list)  # what was decided, for a person
    samples: list[dict[str, str]] = field(default_factory=list)

    def quarantine(self, rejected: Sequence[Rejected]) -> None:
        """Count rejected events and keep a few of them as examples."""
        self._count(self.quarantined, rejected)

    def quarantine_items(self, rejected: Sequence[Rejected]) -> None:
        """The same for rows of an item file."""
        self._count(self.items_quarantined, rejected)

    def check(self) -> None:
        """Raises NextupError if a row came in and is not accounted for."""
        events = self.accepted + self.duplicates + self.quarantined.total()
        items = self.items + self.items_repeated + self.items_quarantined.total()
        if (self.rows, self.item_rows) != (events, items):
            raise NextupError(
                f"The counts of {self.dataset} do not add up: {self.rows} rows in, {events} "
                f"accounted for; {self.item_rows} item rows in, {items} accounted for.",
                cure="This is a defect of Nextup; please report it with this line.",
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in plain.items()
        }

    def _count(self, counts: Counter[str], rejected: Sequence[Rejected]) -> None:
        for one in rejected:
            counts[one.rule] += 1
            if counts[one.rule] <= _SAMPLES:
                self.samples.append({"source": one.source, "rule": one.rule, "reason": one.reason})
