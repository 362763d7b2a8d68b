"""What a cluster changes on its machine, and how it is put back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stack.kubernetes.configuration import BRIDGE, HOST
from stack.processes import descendants

if TYPE_CHECKING:
    from collections.abc import Iterable

KERNEL = (  # what the kubelet and kube-proxy set
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.ip_forward",
    "net.ipv4.vs.conntrack",
    "net.netfilter.nf_conntrack_max",
)
FIXED = (  # folders that the programs make wherever they are told to live
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/run/containerd",
    "/var/log/containers",
    "/usr/libexec/kubernetes",
    "/opt/containerd",
)
CHAINS = r"(?:CNI-HOSTPORT-[A-Z]+|CNI-DN-[0-9a-f]+|KUBE-FIREWALL)"
"""What `kube-proxy --cleanup` and the plugin for host ports leave behind."""


class Before:
    """How the machine was."""

    def __init__(self) -> None:
        self._kernel = {
            file: file.read_text() for name in KERNEL if (file := _setting(name)).exists()
        }
        self._absent = [path for path in FIXED if not Path(path).exists()]

    def restore(self) -> None:
        """The kernel's settings, and folders that were not there."""
        for file, value in self._kernel.items():
            with suppress(OSError):
                file.write_text(value)
        for path in self._absent:
            shutil.rmtree(path, ignore_errors=True)


def make_bridge() -> None:
    """With its address before the first pod comes: names are asked for there."""
    _quietly("ip", "link", "add", BRIDGE, "type", "bridge")
    _quietly("ip", "address", "replace", f"{HOST}/24", "dev", BRIDGE)
    _quietly("ip", "link", "set", BRIDGE, "up")
    with suppress(OSError):
        _setting("net.ipv4.ip_forward").write_text("1")


def clean(folder: Path) -> None:
    """Containers, mounts, the bridge, rules of the firewall and groups of processes of the
    cluster that lived in `folder`, whose programs have ended."""
    for shim in _shims(folder):
        for pid in (*descendants(shim), shim):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for mount in _mounts(folder):
        _quietly("umount", "-l", mount)
    _quietly("ip", "link", "delete", BRIDGE)
    for program in ("iptables", "ip6tables"):
        for table in ("filter", "nat"):
            _remove_chains(program, table)
    for group in Path("/sys/fs/cgroup").glob("*"):
        for name in ("kubepods", "k8s.io"):
            for inner, _, _ in os.walk(group / name, topdown=False):
                with suppress(OSError):
                    Path(inner).rmdir()


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _shims(folder: Path) -> Iterable[int]:
    """Those who stand between a container and containerd, which they outlive."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in command[0] and f"{folder}/containerd.sock".encode() in command:
                yield int(entry.name)


def _mounts(folder: Path) -> list[str]:
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((place for place in places if place.startswith(f"{folder}/")), reverse=True)


def _remove_chains(program: str, table: str) -> None:
    listed = subprocess.run(
        [f"{program}-save", "-t", table], capture_output=True, text=True, check=False
    )
    for line in listed.stdout.splitlines():
        if re.match(rf"-A [A-Z]+ .*-j {CHAINS}", line):
            _quietly(program, "-w", "-t", table, *line.replace("-A", "-D", 1).split())
    chains = re.findall(rf"^:({CHAINS}) ", listed.stdout, re.MULTILINE)
    for action in ("-F", "-X"):
        for chain in chains:
            _quietly(program, "-w", "-t", table, action, chain)


def _quietly(*command: str) -> None:
    """What is not there need not be removed."""
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
