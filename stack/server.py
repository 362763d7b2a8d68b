"""What every server can do. A file in `servers/` fills in the rest."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from types import TracebackType

    from stack.processes import Process


class Server(ABC):
    """A real server in a throw-away folder, on ports that stay the same when it is restarted."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"nextup-{self.name}-"))
        self.folder.chmod(0o755)  # some servers refuse to run as root and must get in
        self.processes: list[Process] = []
        self.host = "127.0.0.1"  # where it listens, if it is one of those that can be told

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """Fetch what it runs on, once; raises Unavailable with the reason and the cure."""

    @abstractmethod
    def prepare(self) -> None:
        """Write its configuration and format its storage in `folder`, once."""

    @abstractmethod
    def launch(self) -> None:
        """Start its processes, add them to `processes`, and return when it answers."""

    @property
    @abstractmethod
    def url(self) -> str:
        """What a setting of Nextup names it by."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its clients need besides the URL: credentials and the like."""
        return {}

    @property
    def version(self) -> str:
        """The product and its version, for people; empty where nobody knows."""
        return ""

    def start(self) -> Self:
        """From nothing to ready; what fails leaves nothing running."""
        try:
            self.install()
            self.prepare()
            self.launch()
        except BaseException:
            self._end(gracefully=False)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def stop(self) -> None:
        """End gracefully and remove the folder. Stopping twice does nothing."""
        self._end(gracefully=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Crash: every process at once, the data as it lies."""
        self._end(gracefully=False)

    def restart(self) -> None:
        """Start again on the same ports and data, after a `kill` or instead of one."""
        self._end(gracefully=True)
        self.launch()

    def pause(self) -> None:
        """Freeze every process."""
        for process in self.processes:
            process.pause()

    def resume(self) -> None:
        """Let every process go on."""
        for process in self.processes:
            process.resume()

    def _end(self, *, gracefully: bool) -> None:
        for process in reversed(self.processes):
            if gracefully:
                process.stop()
            else:
                process.kill()
        self.processes.clear()

    def __enter__(self) -> Self:
        return self if self.processes else self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
