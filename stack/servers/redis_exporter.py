"""What Redis does, for Prometheus."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from stack.servers.exporters import Exporter


class RedisExporter(Exporter):
    """See `Exporter`."""

    name: ClassVar[str] = "redis_exporter"
    package: ClassVar[str] = "redis_exporter"
    program: ClassVar[str] = "prometheus-redis-exporter"

    def told(self) -> dict[str, str]:
        """See `Exporter.told`."""
        place = urlsplit(self.watched)
        address = f"redis://{place.hostname}:{place.port}"
        return {"REDIS_ADDR": address, "REDIS_PASSWORD": place.password or ""}
