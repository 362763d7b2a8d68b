"""Kubernetes: a real cluster of one node. `stack.kubernetes` says what it is made of."""

from __future__ import annotations

import fcntl
import os
import subprocess
from typing import TYPE_CHECKING, ClassVar

from stack.errors import Unavailable
from stack.fetching import CACHE, debian
from stack.kubernetes import configuration
from stack.kubernetes.archives import write_image
from stack.kubernetes.certificates import Authority
from stack.kubernetes.configuration import FIRST_SERVICE, HOST, NODE, PAUSE_IMAGE, Place
from stack.kubernetes.leftovers import Before, clean, make_bridge
from stack.kubernetes.programs import pinned, programs
from stack.processes import Process, answers, free_port
from stack.server import Server

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

MASTERS = "system:masters"
KUBELET_PORT = 10250
PATIENCE_SECONDS = 600.0
PROCESSES = 8
CTR = ("-n", "k8s.io")  # the kubelet's images and containers


class Kubernetes(Server):
    """Control plane and node. `kubectl` and `helm` speak to it; `load` brings images in."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self) -> None:
        super().__init__()
        self._before: Before | None = None
        self._alone: TextIO | None = None

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        if os.geteuid() != 0:
            raise Unavailable("A Kubernetes node needs root: namespaces, mounts, the firewall.")
        for name, program in (
            ("containerd", "containerd"),
            ("containerd", "runc"),
            ("iptables", "iptables"),
            ("iproute", "ip"),
        ):
            debian(name, program=program)
        programs()

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self._alone = _only_one()
        self._before = Before()
        ports = free_port(), free_port(), free_port()
        self.place = Place(self.folder, programs(), *ports)
        authority = Authority(self.place.pki, self.url)
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        authority.certificate(
            "apiserver", "kube-apiserver", at=[*names, "127.0.0.1", FIRST_SERVICE, HOST]
        )
        authority.certificate("apiserver-kubelet", "apiserver-kubelet", MASTERS)
        authority.certificate("front-proxy", "front-proxy")
        authority.certificate("kubelet", NODE, at=[NODE, HOST, "127.0.0.1"])
        for name, common, group in (
            ("admin", "admin", MASTERS),
            ("kcm", "system:kube-controller-manager", ""),
            ("scheduler", "system:kube-scheduler", ""),
            ("kube-proxy", "system:kube-proxy", ""),
            ("node", f"system:node:{NODE}", "system:nodes"),
            ("coredns", "coredns", ""),
        ):
            authority.kubeconfig(name, common, group)
        authority.token_keys()
        configuration.write_configuration(self.place)

    def launch(self) -> None:
        """See `Server.launch`."""
        make_bridge()
        kubectl = str(self.place.programs / "kubectl")
        self._run(configuration.etcd(self.place))
        server = self._run(configuration.api_server(self.place))
        containerd = self._run(["containerd", "-c", f"{self.folder}/containerd.toml"])
        self._await(containerd, "ctr", "-a", str(self.place.socket), "version")
        self._load_pause()
        self._await(server, kubectl, "get", "--raw", "/readyz")
        manager = self._run(configuration.controller_manager(self.place))
        self._run(configuration.scheduler(self.place))
        self._await(manager, kubectl, "get", "serviceaccount", "default")
        self.kubectl("apply", "-f", f"{self.folder}/first.yaml")
        names = self._run(["coredns", "-conf", f"{self.folder}/Corefile"])
        kubelet = self._run(configuration.kubelet(self.place))
        self._run(["kube-proxy", f"--config={self.folder}/kube-proxy.yaml"])
        self._await(kubelet, kubectl, "get", "node", NODE)
        ready = ("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=2s")
        self._await(kubelet, kubectl, *ready)
        self._await(names, "curl", "-fsS", "http://127.0.0.1:8181/ready")

    @property
    def url(self) -> str:
        """The API server's."""
        return f"https://127.0.0.1:{self.place.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """For `kubectl` and `helm`, which are in the PATH that it gives."""
        path = f"{self.place.programs}:{os.environ.get('PATH', '')}"
        return {"KUBECONFIG": str(self.place.pki / "admin.conf"), "PATH": path}

    @property
    def version(self) -> str:
        """As it was built."""
        return f"Kubernetes {pinned('k8s.io/kubernetes')}"

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What it prints; raises CalledProcessError with what it said when it fails."""
        return self._output("kubectl", *arguments, given=given)

    def helm(self, *arguments: str) -> str:
        """Likewise."""
        return self._output("helm", *arguments)

    def load(self, archive: Path) -> None:
        """Bring in the images of an archive as `buildah push docker-archive:` makes it."""
        self._output("ctr", "-a", str(self.place.socket), *CTR, "images", "import", str(archive))

    def crash(self, container: str) -> None:
        """Kill a container's processes at once, as the kernel does where memory is short. It is
        called as a pod's status calls it: `containerd://...`."""
        name = container.removeprefix("containerd://")
        kill = ("tasks", "kill", "--all", "--signal", "SIGKILL", name)
        self._output("ctr", "-a", str(self.place.socket), *CTR, *kill)

    def _output(self, program: str, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            [self._program(program), *arguments],
            input=given,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shown = " ".join(arguments)
            raise Failed(f"{program} {shown}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _run(self, command: list[str]) -> Process:
        name, *arguments = command
        process = Process(
            [self._program(name), *arguments],
            log=self.folder / f"{name}.log",
            environment=self.environment,
        )
        self.processes.append(process)
        return process

    def _await(self, process: Process, *question: str) -> None:
        """Until the question is answered; a busy machine takes its time for a dozen programs."""
        process.wait_until(lambda: self._does(*question), seconds=PATIENCE_SECONDS)

    def _program(self, name: str) -> str:
        own = self.place.programs / name
        return str(own if own.exists() else debian("containerd", program=name))

    def _says(self, *arguments: str) -> bool:
        return self._does(str(self.place.programs / "kubectl"), *arguments)

    def _does(self, *command: str | Path) -> bool:
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | self.environment,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def _load_pause(self) -> None:
        archive = self.folder / "pause.tar"
        write_image(archive, PAUSE_IMAGE, self.place.programs / "pause")
        self.load(archive)

    def _end(self, *, gracefully: bool) -> None:
        if not self.processes:
            return
        if gracefully:
            self._let_go()
        proxied = len(self.processes) == PROCESSES
        super()._end(gracefully=gracefully)
        if proxied:
            config = f"--config={self.folder}/kube-proxy.yaml"
            self._does(str(self.place.programs / "kube-proxy"), config, "--cleanup")
        clean(self.folder)
        if self._before is not None:
            self._before.restore()
        if self._alone is not None:
            self._alone.close()

    def _let_go(self) -> None:
        """Let the kubelet, while it lives, end the pods and unmount what they had."""
        kinds = "deploy,sts,ds,rs,job,cronjob"
        end = ["delete", "-A", "--all", "--timeout=40s"]
        self._says(*end, "--cascade=orphan", "--wait=false", kinds)
        self._says(*end, "--grace-period=1", "pod")


class Failed(Exception):
    """What a command said."""


def _only_one() -> TextIO:
    """Raises Unavailable where this machine is a node already."""
    if answers(KUBELET_PORT):
        raise Unavailable(f"Port {KUBELET_PORT} is taken: this machine is a Kubernetes node.")
    locks = CACHE / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    file = (locks / "kubernetes-running").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Unavailable("Another Kubernetes runs on this machine; there can be one.") from None
    return file
