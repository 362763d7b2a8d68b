"""HDFS, as jars from Maven: one NameNode and as many DataNodes as are asked for."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar
from xml.sax.saxutils import escape

from stack.errors import Unavailable
from stack.fetching import jars, java, versions
from stack.processes import Process, free_port
from stack.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAMENODE = "NEXTUP_STACK_NAMENODE_URL"
HDFS = "org.apache.hadoop.hdfs.server"
WEB_APP = '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee"></web-app>\n'
# what Hadoop's own start scripts pass, in a tenth of their memory
JAVA = ["-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Hdfs(Server):
    """A file system whose root everybody may write to. `web` is the address of its NameNode's
    HTTP server: WebHDFS, `/jmx`, and `/prom` for Prometheus."""

    name: ClassVar[str] = "hdfs"
    data_nodes: int = 1
    recheck_milliseconds: int = 300_000  # a DataNode is dead after twice this and 10 s of silence

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        java()
        jars("hdfs")

    def prepare(self) -> None:
        """See `Server.prepare`. The jars hold no web pages, without which the servers' HTTP does
        not start: empty ones stand in for them."""
        self.port = free_port()
        self._web_port = free_port()
        self._ports = [[free_port() for _ in range(3)] for _ in range(self.data_nodes)]
        for application in ("hdfs", "datanode"):
            pages = self.folder / "pages" / "webapps" / application / "WEB-INF"
            pages.mkdir(parents=True)
            (pages / "web.xml").write_text(WEB_APP)
        core = {"fs.defaultFS": self.url, "hadoop.prometheus.endpoint.enabled": "true"}
        _write(self._configuration() / "core-site.xml", core)
        self._write_name_node()
        for number in range(self.data_nodes):
            self._write_data_node(number)
        done = subprocess.run(
            [*self._java(f"{HDFS}.namenode.NameNode"), "-format", "-nonInteractive"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"The NameNode cannot be formatted: {done.stderr[-1000:]}")

    def launch(self) -> None:
        """See `Server.launch`. A DataNode comes once the NameNode answers: one that came first
        would wait ten seconds before it tries again."""
        name_node = self.start_name_node()
        name_node.wait_until(lambda: self._live_nodes() is not None)
        for number in range(self.data_nodes):
            self.start_data_node(number)
        name_node.wait_until(lambda: self._live_nodes() == self.data_nodes)

    def start_name_node(self) -> Process:
        """Start it; it answers somewhat later."""
        return self._start("namenode.NameNode", "namenode", self._configuration())

    def start_data_node(self, number: int) -> Process:
        """Start one of them, from 0 on."""
        return self._start(
            "datanode.DataNode", f"datanode-{number}", self._configuration(f"datanode-{number}")
        )

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return f"Hadoop {versions()['jars']['hdfs']['artifacts'][0].rpartition(':')[2]}"

    @property
    def url(self) -> str:
        """The root folder."""
        return f"hdfs://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """See `Server.environment`: where its own pages are."""
        return {NAMENODE: self.web}

    @property
    def web(self) -> str:
        """The NameNode's HTTP server."""
        return f"http://127.0.0.1:{self._web_port}"

    def _live_nodes(self) -> int | None:
        """How many DataNodes the NameNode knows, once it lets files be written; None before."""
        bean = "Hadoop:service=NameNode,name=FSNamesystemState"
        with suppress(OSError):
            asked = urllib.request.urlopen(f"{self.web}/jmx?qry={bean}", timeout=2)
            with asked as answer:
                state = json.load(answer)["beans"]
                if state and state[0]["FSState"] == "Operational":
                    return int(state[0]["NumLiveDataNodes"])
        return None

    def _configuration(self, of: str = "namenode") -> Path:
        folder = self.folder / "conf" / of
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write_name_node(self) -> None:
        settings = {
            "dfs.namenode.name.dir": f"file://{self.folder}/names",
            "dfs.namenode.rpc-bind-host": "127.0.0.1",
            "dfs.namenode.http-address": f"127.0.0.1:{self._web_port}",
            "dfs.namenode.handler.count": "4",
            "dfs.namenode.safemode.extension": "0",
            "dfs.namenode.safemode.threshold-pct": "0.999",
            "dfs.namenode.fs-limits.min-block-size": "4096",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.permissions.enabled": "false",
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": str(self.recheck_milliseconds),
            "dfs.replication": str(min(self.data_nodes, 3)),
        }
        _write(self._configuration() / "hdfs-site.xml", settings)

    def _write_data_node(self, number: int) -> None:
        data, web, control = self._ports[number]
        folder = self._configuration(f"datanode-{number}")
        _write(folder / "core-site.xml", {"fs.defaultFS": self.url})
        settings = {
            "dfs.datanode.data.dir": f"file://{self.folder}/blocks-{number}",
            "dfs.datanode.address": f"127.0.0.1:{data}",
            "dfs.datanode.http.address": f"127.0.0.1:{web}",
            "dfs.datanode.ipc.address": f"127.0.0.1:{control}",
            "dfs.datanode.hostname": "127.0.0.1",
            "dfs.heartbeat.interval": "1",
            "dfs.client.use.datanode.hostname": "false",
        }
        _write(folder / "hdfs-site.xml", settings)

    def _start(self, main: str, log: str, configuration: Path) -> Process:
        process = Process(
            self._java(f"{HDFS}.{main}", configuration),
            log=self.folder / f"{log}.log",
            folder=self.folder,
        )
        self.processes.append(process)
        return process

    def _java(self, main: str, configuration: Path | None = None) -> list[str]:
        places = [configuration or self._configuration(), self.folder / "pages", jars("hdfs") / "*"]
        return [str(java()), *JAVA, "-cp", ":".join(map(str, places)), main]


def _write(file: Path, settings: Mapping[str, str]) -> None:
    properties = "".join(
        f"  <property><name>{name}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    file.write_text(f"<configuration>\n{properties}</configuration>\n")
