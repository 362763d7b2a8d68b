"""Kubernetes' programs, built once from Go modules into the cache."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from stack.fetching import CACHE, debian, made_once, run, say

SOURCES = Path(__file__).parent / "go"
PAUSE = Path(__file__).parent / "pause"
ALL_IN_ONE = (  # one binary of 140 MB, told apart by its name, in place of 510 MB for seven
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
PLUGINS = ("main/bridge", "main/loopback", "ipam/host-local", "meta/portmap")


def programs() -> Path:
    """The folder with all of them: `etcd`, `kubectl`, `helm`, ..., and `cni/`."""
    pins = [
        file.read_text()
        for file in sorted((*SOURCES.rglob("*.go"), *SOURCES.rglob("go.mod"), *PAUSE.iterdir()))
    ]
    return made_once("kubernetes", pins, _build)


def pinned(module: str) -> str:
    """The version of a module that the cluster is built of: `v1.34.4`."""
    found = re.search(
        rf"^\s*{re.escape(module)} (v\S+)", (SOURCES / "cluster/go.mod").read_text(), re.MULTILINE
    )
    assert found is not None, module
    return found[1]


def _build(folder: Path) -> None:
    go = debian("go", program="go")
    compiler = debian("compiler", program="gcc")
    say("building Kubernetes (6 minutes on two cores, once) ...")
    with tempfile.TemporaryDirectory(prefix="kubernetes-", dir=CACHE) as work:
        # 3.6 GB that nobody needs afterwards; sources are copied, since Go may write beside them
        environment = {
            "CGO_ENABLED": "0",
            "GOCACHE": f"{work}/built",
            "GOMODCACHE": f"{work}/modules",
            "GOFLAGS": "-buildvcs=false -modcacherw",
            "GOTOOLCHAIN": "local",
        }
        sources = Path(work) / "sources"
        shutil.copytree(SOURCES, sources)

        def build(program: str, package: str, *, module: str = "cluster") -> None:
            where: list[str | Path] = [go, "-C", sources / module, "build"]
            run([*where, "-ldflags", _stamped(), "-o", folder / program, package], environment)

        build("all-in-one", "./allinone")
        for name in ALL_IN_ONE:
            (folder / name).symlink_to("all-in-one")
        build("helm", "helm.sh/helm/v3/cmd/helm")
        for plugin in PLUGINS:
            package = f"github.com/containernetworking/plugins/plugins/{plugin}"
            build(f"cni/{Path(plugin).name}", package)
        build("coredns", ".", module="coredns")
    run([compiler, "-Os", "-static", "-s", "-o", folder / "pause", PAUSE / "pause.c"], {})


def _stamped() -> str:
    """The versions that the programs say they are; without them they refuse each other."""
    version = pinned("k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    said = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = [
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in said.items()
    ]
    helm = "helm.sh/helm/v3"
    stamps.append(f"-X {helm}/internal/version.version={pinned(helm)}")
    stamps += [  # the cluster that `helm template` and `helm lint` imagine
        f"-X {helm}/pkg/{package}.k8sVersion{part}={value}"
        for package in ("chartutil", "lint/rules")
        for part, value in (("Major", major), ("Minor", minor))
    ]
    return " ".join(["-s", "-w", *stamps])
