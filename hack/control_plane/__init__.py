"""A Kubernetes control plane on this machine, for tests, benches and trying out: etcd and kube-apiserver, real ones.

There is no kubelet: what is applied is stored, validated, authorised and watched, but nothing runs it.
"""
