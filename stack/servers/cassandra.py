"""Cassandra from its jars: one node with a small heap and a password that is made up."""

from __future__ import annotations

import secrets
import shutil
import socket
import struct
import subprocess
from contextlib import suppress
from typing import ClassVar

from stack.errors import Unavailable
from stack.fetching import debian, jars, java, versions
from stack.processes import Process, free_port
from stack.server import Server

USER = "cassandra"  # whom a new node knows, with the same word as the password
KEYSPACE = "nextup"
HEAP = "512m"

OPENED = (  # what Cassandra's own start script opens to it on Java 17
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.transport.tcp=ALL-UNNAMED",
    "--add-exports=java.sql/java.sql=ALL-UNNAMED",
    "--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.module=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.math=ALL-UNNAMED",
    "--add-opens=java.base/java.net=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.loader=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.math=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.module=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.reflect=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.util.jar=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.rmi/sun.rmi.transport.tcp=ALL-UNNAMED",
    "--add-opens=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)
AT_ONCE = (  # a single node need not wait for others
    "-Dcassandra.ring_delay_ms=1",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4",  # the password is long and lives for minutes
)

YAML = """\
cluster_name: nextup
num_tokens: 4
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage}"}}]
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage}
native_transport_port: {port}
data_file_directories: ["{folder}/data"]
commitlog_directory: {folder}/commitlog
commitlog_sync: batch
commitlog_segment_size: 16MiB
hints_directory: {folder}/hints
saved_caches_directory: {folder}/saved_caches
cdc_raw_directory: {folder}/cdc
concurrent_writes: 64
read_request_timeout: 20s
range_request_timeout: 20s
write_request_timeout: 20s
cas_contention_timeout: 10s
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
file_cache_size: 32MiB
networking_cache_size: 16MiB
auto_snapshot: false
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
client_encryption_options:
  enabled: true
  optional: true
  keystore: {folder}/keys.p12
  keystore_password: {password}
  store_type: PKCS12
"""
LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""


class Cassandra(Server):
    """One node that writes to its disk what it acknowledges. (By default it does so every ten
    seconds, and relies on other nodes until then.) Its port speaks TLS as well, with a certificate
    signed by `ca.pem` in its folder."""

    name: ClassVar[str] = "cassandra"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        java()
        jars("cassandra")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self._login = f"{USER}:{USER}"
        self._make_certificate()
        text = YAML.format(
            storage=free_port(), port=self.port, folder=self.folder, password=self.password
        )
        (self.folder / "cassandra.yaml").write_text(text)
        (self.folder / "logback.xml").write_text(LOGBACK)

    def launch(self) -> None:
        """See `Server.launch`."""
        lib = jars("cassandra")
        process = Process(
            [
                debian("java", program="java"),
                f"-Xms{HEAP}",
                f"-Xmx{HEAP}",
                "-Xss512k",
                "-XX:+UseSerialGC",
                "-Djdk.attach.allowAttachSelf=true",
                *OPENED,
                *AT_ONCE,
                f"-javaagent:{next(lib.glob('jamm-*.jar'))}",
                f"-Dcassandra.config=file:{self.folder}/cassandra.yaml",
                f"-Dcassandra.storagedir={self.folder}",
                f"-Dlogback.configurationFile={self.folder}/logback.xml",
                f"-Djava.io.tmpdir={self.folder}",
                "-cp",
                f"{lib}/*",
                "org.apache.cassandra.service.CassandraDaemon",
            ],
            log=self.folder / "log",
            folder=self.folder,
        )
        self.processes.append(process)
        process.wait_until(self._ready)

    @property
    def url(self) -> str:
        """A keyspace that whoever uses it makes."""
        return f"cassandra://{USER}:{self.password}@127.0.0.1:{self.port}/{KEYSPACE}"

    @property
    def version(self) -> str:
        """As pinned."""
        return f"Cassandra {versions()['jars']['cassandra']['artifacts'][0].rpartition(':')[2]}"

    def _make_certificate(self) -> None:
        keys = ["-keystore", str(self.folder / "keys.p12"), "-storepass", self.password]
        self._keytool(
            *("-genkeypair", "-alias", "nextup", "-keyalg", "EC", "-storetype", "PKCS12"),
            *("-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1,dns:localhost", *keys),
        )
        certificate = str(self.folder / "ca.pem")
        self._keytool("-exportcert", "-rfc", "-alias", "nextup", "-file", certificate, *keys)

    @staticmethod
    def _keytool(*command: str) -> None:
        tool = shutil.which("keytool") or str(java().resolve().parent / "keytool")
        done = subprocess.run([tool, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"keytool failed: {(done.stdout + done.stderr)[-1000:]}")

    def _ready(self) -> bool:
        """Lets the user in with the password of our own, which it is given first; the server may
        remember the old one for some seconds."""
        with suppress(OSError):
            if query(self.port, self.password, "SELECT key FROM system.local"):
                return True
            query(self.port, USER, f"ALTER ROLE {USER} WITH PASSWORD = '{self.password}'")
        return False


def query(port: int, password: str, text: str) -> bool:
    """Sign in and run one statement, in the words of the native protocol (version 4)."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        login = f"\0{USER}\0{password}".encode()
        statement = text.encode()
        version = _string("CQL_VERSION") + _string("3.0.0")
        steps = (
            (_STARTUP, struct.pack(">H", 1) + version),
            (_AUTH_RESPONSE, struct.pack(">i", len(login)) + login),
            (_QUERY, struct.pack(">i", len(statement)) + statement + struct.pack(">HB", _ONE, 0)),
        )
        return all(_ask(connection, opcode, body) != _ERROR for opcode, body in steps)


_ERROR, _STARTUP, _QUERY, _AUTH_RESPONSE, _ONE = 0x00, 0x01, 0x07, 0x0F, 0x01
_HEADER = struct.Struct(">BBhBi")


def _ask(connection: socket.socket, opcode: int, body: bytes) -> int:
    connection.sendall(_HEADER.pack(4, 0, 0, opcode, len(body)) + body)
    answer: int
    _, _, _, answer, length = _HEADER.unpack(_receive(connection, _HEADER.size))
    _receive(connection, length)
    return answer


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def _string(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
