"""What the pipelines of a deployment without a recipe are called."""

from typing import Final

DAILY: Final = "nextup_daily"
MAINTENANCE: Final = "nextup_maintenance"
