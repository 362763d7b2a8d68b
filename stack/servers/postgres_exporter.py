"""What PostgreSQL does, for Prometheus."""

from __future__ import annotations

from typing import ClassVar

from stack.servers.exporters import Exporter


class PostgresExporter(Exporter):
    """See `Exporter`."""

    name: ClassVar[str] = "postgres_exporter"
    package: ClassVar[str] = "postgres_exporter"
    program: ClassVar[str] = "prometheus-postgres-exporter"

    def told(self) -> dict[str, str]:
        """See `Exporter.told`."""
        return {"DATA_SOURCE_NAME": f"{self.watched}?sslmode=disable"}
