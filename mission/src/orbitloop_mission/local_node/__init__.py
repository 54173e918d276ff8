"""One machine that plays all nodes of a cluster: pods become local processes.

What belongs here: what a kubelet does, with processes in the place of containers: order, environment, volumes,
restarts, and the status of each pod. What does not: which pods there should be.
"""
