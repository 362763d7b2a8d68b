"""The configuration of the cluster's programs. Settings that machines without systemd, or without
the right to raise limits, need have their reason beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BRIDGE = "nextup-pods"
HOST = "10.244.0.1"  # the machine as pods see it, and the only node's address
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"  # the API server's own
NODE = "node"
PAUSE_IMAGE = "localhost/nextup-pause:1"
VOLUMES = 8  # prepared folders that claims can have


class Place(NamedTuple):
    """Where a cluster lives."""

    folder: Path  # its own
    programs: Path
    etcd_port: int
    peer_port: int
    server_port: int

    @property
    def pki(self) -> Path:
        """Certificates and kubeconfigs."""
        return self.folder / "pki"

    @property
    def socket(self) -> Path:
        """containerd's."""
        return self.folder / "containerd.sock"

    @property
    def etcd(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.etcd_port}"


def write_configuration(place: Place) -> None:
    """Every file that the programs read."""
    networks = place.folder / "networks"
    networks.mkdir()
    for name, text in {
        "containerd.toml": CONTAINERD,
        "networks/pods.conflist": NETWORK,
        "Corefile": COREFILE,
        "kubelet.yaml": KUBELET,
        "kube-proxy.yaml": PROXY,
        "first.yaml": FIRST,
    }.items():
        for mark, value in {
            "@FOLDER@": str(place.folder),
            "@PROGRAMS@": str(place.programs),
            "@PKI@": str(place.pki),
        }.items():
            text = text.replace(mark, value)  # noqa: PLW2901
        (place.folder / name).write_text(text)
    with (place.folder / "first.yaml").open("a") as file:
        for number in range(VOLUMES):
            path = place.folder / "volumes" / str(number)
            path.mkdir(parents=True)
            path.chmod(0o777)  # as those of k3s: whoever runs in the pod can write
            file.write(VOLUME.format(number=number, path=path))


def etcd(place: Place) -> list[str]:
    """Its command: one member, which need not survive a power cut."""
    peer = f"http://127.0.0.1:{place.peer_port}"
    return [
        "etcd",
        "--name=one",
        f"--data-dir={place.folder}/etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={place.etcd}",
        f"--advertise-client-urls={place.etcd}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=one={peer}",
        "--log-level=warn",
    ]


def api_server(place: Place) -> list[str]:
    """Its command."""
    pki = place.pki
    front = "X-Remote-"
    return [
        "kube-apiserver",
        f"--etcd-servers={place.etcd}",
        f"--secure-port={place.server_port}",
        f"--advertise-address={HOST}",
        f"--cert-dir={place.folder}/apiserver",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-cluster-ip-range={SERVICES}",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        f"--requestheader-username-headers={front}User",
        f"--requestheader-group-headers={front}Group",
        f"--requestheader-extra-headers-prefix={front}Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager(place: Place) -> list[str]:
    """Its command."""
    pki = place.pki
    return [
        "kube-controller-manager",
        *_as(pki / "kcm.conf"),
        f"--cert-dir={place.folder}/kcm",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
    ]


def scheduler(place: Place) -> list[str]:
    """Its command."""
    return [
        "kube-scheduler",
        *_as(place.pki / "scheduler.conf"),
        f"--cert-dir={place.folder}/scheduler",
    ]


def _as(kubeconfig: Path) -> Iterator[str]:
    for name in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"):
        yield f"--{name}={kubeconfig}"
    yield from ("--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false")


def kubelet(place: Place) -> list[str]:
    """Its command."""
    return [
        "kubelet",
        f"--config={place.folder}/kubelet.yaml",
        f"--kubeconfig={place.pki}/node.conf",
        f"--root-dir={place.folder}/kubelet",
        f"--cert-dir={place.folder}/kubelet-pki",
        f"--hostname-override={NODE}",
        f"--node-ip={HOST}",
    ]


# Containers get no better score against the kernel's memory killer than we have: that takes a
# right which is missing in a container (restrict_oom_score_adj).
CONTAINERD = """version = 2
root = "@FOLDER@/containerd/root"
state = "@FOLDER@/containerd/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.internal.v1.opt",
]
[grpc]
  address = "@FOLDER@/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/nextup-pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "@PROGRAMS@/cni"
    conf_dir = "@FOLDER@/networks"
"""

# Without masquerading no chain per pod is made; pods reach each other and this machine.
NETWORK = """{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "nextup-pods",
   "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "@FOLDER@/addresses",
            "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
"""

COREFILE = """.:53 {
  bind 10.244.0.1
  ready 127.0.0.1:8181
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa {
    kubeconfig @PKI@/coredns.conf stack
    ttl 5
  }
}
"""

# A disk that is nearly full is everybody's here, no reason to evict.
KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: @PKI@/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: @PKI@/kubelet.crt
tlsPrivateKeyFile: @PKI@/kubelet.key
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
enforceNodeAllocatable: []
oomScoreAdj: 0
makeIPTablesUtilChains: false
containerRuntimeEndpoint: unix://@FOLDER@/containerd.sock
clusterDNS: [10.244.0.1]
clusterDomain: cluster.local
resolvConf: ""
podLogsDir: @FOLDER@/pod-logs
volumePluginDir: @FOLDER@/volume-plugins
evictionHard:
  memory.available: 1Mi
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
  imagefs.inodesFree: 0%
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
"""

# With the default of a second, a Service refuses connections for that long after a pod is ready.
PROXY = """apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: @PKI@/kube-proxy.conf}
clusterCIDR: 10.244.0.0/24
hostnameOverride: node
oomScoreAdj: 0
iptables: {localhostNodePorts: false, minSyncPeriod: 100ms}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
"""

FIRST = """apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: coredns}
rules:
  - {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coredns}
subjects: [{kind: User, name: coredns, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: prepared
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
"""

VOLUME = """---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: prepared-{number}}}
spec:
  storageClassName: prepared
  capacity: {{storage: 100Gi}}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {{path: {path}}}
"""
