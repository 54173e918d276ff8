"""The Global Manager: carries out the core's decisions in a Kubernetes cluster.

What belongs here: handlers, one file a kind, that parse a resource, call ``decide`` and apply its actions; they are
registered by a function that takes its dependencies, are idempotent and level-triggered. What does not: decisions,
training, the space link, torch.
"""
