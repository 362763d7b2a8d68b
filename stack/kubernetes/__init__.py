"""A real Kubernetes of one node, of processes of this machine: no Docker, no image registry.

etcd, control plane, kubelet, kube-proxy, CoreDNS, network plugins and Helm are built once from
their Go modules; containerd and runc are Debian's. It needs root, and there is one at a time on a
machine, since it changes the machine's firewall, a few of its kernel's settings and its bridges.
What it does not have: the metrics API (so that nothing is scaled by itself), enforcement of
network policies, an Ingress controller, addresses of load balancers.
"""
