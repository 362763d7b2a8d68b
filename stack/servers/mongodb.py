"""MongoDB: a real `mongod` where one is on the PATH, otherwise a persistent one in Java.

The one in Java (mongo-java-server over H2) speaks the protocol and keeps what it acknowledged, but
has no sessions, no transactions and no passwords.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import ClassVar

from stack.fetching import debian, jars, versions
from stack.processes import Process, answers, free_port, output_of
from stack.server import Server

DATABASE = "nextup"

PROGRAM = """\
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;
import java.util.Set;

public class Server {
    static final Set<String> READS = Set.of("hello", "isMaster", "ismaster", "ping", "find",
        "getMore", "aggregate", "count", "listCollections", "listIndexes", "buildInfo");
    static final MongoVersion VERSION = new MongoVersion() {  // what today's drivers ask for
        public List<Integer> getVersionArray() { return List.of(5, 0, 0, 0); }
        public int getWireVersion() { return 13; }
        public String toVersionString() { return "5.0.0"; }
    };

    public static void main(String[] arguments) throws Exception {
        H2Backend backend = new H2Backend(arguments[0]) {
            public Document handleMessage(MongoMessage message) {  // written, then acknowledged
                Document answer = super.handleMessage(message);
                if (!READS.contains(message.getDocument().keySet().iterator().next())) commit();
                return answer;
            }
        };
        MongoServer server = new MongoServer(backend.version(VERSION));
        server.bind("127.0.0.1", Integer.parseInt(arguments[1]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        Thread.currentThread().join();
    }
}
"""


class MongoDB(Server):
    """One server without passwords, on the loopback interface."""

    name: ClassVar[str] = "mongodb"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        if _mongod() is None:
            debian("jdk", program="javac")
            jars("mongodb")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        (self.folder / "data").mkdir()
        (self.folder / "Server.java").write_text(PROGRAM)

    def launch(self) -> None:
        """See `Server.launch`."""
        mongod = _mongod()
        process = Process(
            self._in_java() if mongod is None else self._real(mongod),
            log=self.folder / "log",
            folder=self.folder,
            stop_signal=signal.SIGTERM,
        )
        self.processes.append(process)
        process.wait_until(lambda: answers(self.port))

    @property
    def url(self) -> str:
        """A database that comes to be with its first collection."""
        return f"mongodb://127.0.0.1:{self.port}/{DATABASE}"

    @property
    def version(self) -> str:
        """As the program says it, or as pinned."""
        mongod = _mongod()
        if mongod is None:
            pinned = versions()["jars"]["mongodb"]["artifacts"][0].rpartition(":")[2]
            return f"mongo-java-server {pinned} (no mongod here)"
        return f"MongoDB {output_of(mongod, '--version').split()[2]}"

    def _real(self, mongod: Path) -> list[str | Path]:
        place: list[str | Path] = ["--dbpath", self.folder / "data", "--bind_ip", "127.0.0.1"]
        return [mongod, *place, "--port", str(self.port), "--nounixsocket"]

    def _in_java(self) -> list[str | Path]:
        program: list[str | Path] = [f"{jars('mongodb')}/*", self.folder / "Server.java"]
        return [
            debian("java", program="java"),
            "-Xmx256m",
            "-cp",
            *program,
            "data/mongo",
            str(self.port),
        ]


def _mongod() -> Path | None:
    found = shutil.which("mongod")
    return Path(found) if found else None
