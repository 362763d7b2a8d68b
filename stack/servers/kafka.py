"""Kafka, as jars from Maven, each node a broker and a controller (KRaft)."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import ClassVar

from stack.errors import NotReady, Unavailable
from stack.fetching import jars, java
from stack.processes import Process, answers, free_port
from stack.server import Server

USER = "nextup"
JMX_RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "kafka_jmx.yml"
# small heaps and the quick compiler alone: tests start it often and load it lightly
JAVA = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    "listener.security.protocol.map": "PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "ssl.client.auth": "none",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",  # a dead leader is replaced after so long
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "2000000",
    "log.segment.delete.delay.ms": "1000",
}


class Kafka(Server):
    """One node. Each has an open listener, which `url` names, and one that wants a password over
    TLS, which `secure.json` in the folder describes. The first node answers Prometheus at
    `metrics_port`, where that is set before it starts."""

    name: ClassVar[str] = "kafka"
    metrics_port: int = 0
    nodes: ClassVar[int] = 1

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        java()
        jars("kafka")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        numbers = range(1, self.nodes + 1)
        self.password = secrets.token_urlsafe(12)
        self._plain = {n: free_port() for n in numbers}
        self._secure = {n: free_port() for n in numbers}
        self._control = {n: free_port() for n in numbers}
        self._running: dict[int, Process] = {}
        self._make_certificate()
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for number in numbers:
            self._properties(number).write_text(self._configuration(number))
            self._call(
                *self._java("kafka.tools.StorageTool"),
                *("format", f"--cluster-id={cluster}", "-c", str(self._properties(number))),
            )
        self._describe_secure_listener()

    def launch(self) -> None:
        """See `Server.launch`. Nodes that run already go on."""
        for number in self._plain:
            self.start_node(number, wait=False)
        for number in self._plain:
            self._wait(number)

    def stop(self) -> None:
        """See `Server.stop`. Crashed: its data go with it, and a cluster of which two have ended
        lets the third wait for them."""
        self.kill()
        super().stop()

    def start_node(self, number: int, *, wait: bool = True) -> None:
        """Start one node, from 1 on, unless it runs."""
        if number in self._running and self._running[number].running:
            return
        process = Process(
            [*self._java("kafka.Kafka", *self._agent(number)), str(self._properties(number))],
            log=self.folder / f"log-{number}",
        )
        self._running[number] = process
        self.processes.append(process)
        if wait:
            self._wait(number)

    def kill_node(self, number: int) -> None:
        """Crash one node."""
        process = self._running.pop(number)
        process.kill()
        self.processes.remove(process)

    @property
    def url(self) -> str:
        """The log's URL, with a topic."""
        return f"kafka://{self.addresses(self._plain)}/events"

    def addresses(self, ports: dict[int, int]) -> str:
        """Where clients begin."""
        return ",".join(f"127.0.0.1:{port}" for port in ports.values())

    def _configuration(self, number: int) -> str:
        copies = str(min(self.nodes, 3))
        voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in self._control.items())
        jaas = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'user_{USER}="{self.password}";'
        )
        settings = SETTINGS | {
            "node.id": str(number),
            "controller.quorum.voters": voters,
            "listeners": f"PLAIN://127.0.0.1:{self._plain[number]},"
            f"SECURE://127.0.0.1:{self._secure[number]},"
            f"CONTROLLER://127.0.0.1:{self._control[number]}",
            "log.dirs": str(self.folder / f"data-{number}"),
            "listener.name.secure.plain.sasl.jaas.config": jaas,
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self.folder / "keys.p12"),
            "ssl.keystore.password": self.password,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": str(max(1, self.nodes - 1)),
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())

    def _make_certificate(self) -> None:
        keytool = shutil.which("keytool") or str(java().resolve().parent / "keytool")
        store = ["-keystore", str(self.folder / "keys.p12"), "-storepass", self.password]
        self._call(
            *(keytool, "-genkeypair", "-alias", "nextup", "-keyalg", "RSA", "-storetype", "PKCS12"),
            *("-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1,dns:localhost", *store),
        )
        certificate = str(self.folder / "ca.pem")
        self._call(keytool, "-exportcert", "-rfc", "-alias", "nextup", "-file", certificate, *store)

    def _describe_secure_listener(self) -> None:
        described = {
            "url": f"kafka://{self.addresses(self._secure)}/events",
            "username": USER,
            "password": self.password,
            "ca_file": str(self.folder / "ca.pem"),
        }
        (self.folder / "secure.json").write_text(json.dumps(described))

    def _properties(self, number: int) -> Path:
        return self.folder / f"node-{number}.properties"

    def _agent(self, number: int) -> list[str]:
        if not self.metrics_port or number != 1:
            return []
        agent = next(jars("jmx_exporter").glob("*.jar"))
        return [f"-javaagent:{agent}=127.0.0.1:{self.metrics_port}:{JMX_RULES}"]

    @staticmethod
    def _java(main: str, *options: str) -> list[str]:
        return [str(java()), *JAVA, *options, "-cp", f"{jars('kafka')}/*", main]

    def _wait(self, number: int) -> None:
        try:
            self._running[number].wait_until(lambda: answers(self._plain[number]))
        except NotReady:
            self._running[number].kill()
            raise

    def _call(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"{command[0]} failed: {(done.stdout + done.stderr)[-1000:]}")
