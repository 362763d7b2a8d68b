"""PostgreSQL, from Debian's package. It refuses to run as root, so root lends it a user."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from typing import ClassVar

from stack.errors import Unavailable
from stack.fetching import debian
from stack.processes import Process, free_port, output_of
from stack.server import Server

USER = "nextup"
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "max_prepared_transactions": "0",
}


class PostgreSQL(Server):
    """One cluster with one database, whose password is made up."""

    name: ClassVar[str] = "postgresql"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        debian("postgresql", program="initdb")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self._data = self.folder / "data"
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if self._owner:
            shutil.chown(self.folder, self._owner)
            shutil.chown(password_file, self._owner)
        done = subprocess.run(
            [
                str(debian("postgresql", program="initdb")),
                f"--pgdata={self._data}",
                f"--username={USER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            user=self._owner,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"initdb failed: {done.stderr}")
        with (self._data / "pg_hba.conf").open("a") as allowed:
            allowed.write("host all all samenet scram-sha-256\n")

    def launch(self) -> None:
        """See `Server.launch`."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # left by a crash
        options = {
            **SETTINGS,
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        process = Process(
            [
                debian("postgresql", program="postgres"),
                "-D",
                self._data,
                *(part for key, value in options.items() for part in ("-c", f"{key}={value}")),
            ],
            log=self.folder / "log",
            user=self._owner,
            folder=self.folder,
            stop_signal=signal.SIGINT,  # end at once, without waiting for clients
        )
        self.processes.append(process)
        process.wait_until(self._ready)

    @property
    def url(self) -> str:
        """The default database, as its superuser."""
        return f"postgresql://{USER}:{self.password}@{self.host}:{self.port}/postgres"

    @property
    def version(self) -> str:
        """As the program says it."""
        said = output_of(debian("postgresql", program="postgres"), "--version")
        return f"PostgreSQL {said.partition(') ')[2].partition(' ')[0]}"

    @property
    def _owner(self) -> str | None:
        return "postgres" if os.geteuid() == 0 else None

    def _ready(self) -> bool:
        program = debian("postgresql", program="pg_isready")
        asked = [str(program), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0
