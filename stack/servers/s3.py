"""S3: a gateway, built from its Go module, that keeps objects in a folder."""

from __future__ import annotations

import secrets
from typing import ClassVar

from stack.fetching import go_program, versions
from stack.processes import Process, answers, free_port
from stack.server import Server

BUCKET = "nextup"


class S3(Server):
    """One server with one empty bucket. Its address and keys are in `environment`."""

    name: ClassVar[str] = "s3"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        go_program("s3")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self._key, self._secret = secrets.token_hex(8), secrets.token_urlsafe(16)
        (self.folder / "objects" / BUCKET).mkdir(parents=True)

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [
                go_program("s3"),
                "--port",
                f"127.0.0.1:{self.port}",
                "posix",
                self.folder / "objects",
            ],
            log=self.folder / "log",
            environment={"ROOT_ACCESS_KEY": self._key, "ROOT_SECRET_KEY": self._secret},
        )
        self.processes.append(process)
        process.wait_until(lambda: answers(self.port))

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return f"versitygw {versions()['go']['s3'].rpartition('@v')[2]}"

    @property
    def url(self) -> str:
        """The bucket."""
        return f"s3://{BUCKET}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every client of S3 knows."""
        return {
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
