"""The ground: gateway, ledger, model registry, trainer and dashboard.

What belongs here: taking samples in, labelling, fine-tuning, offering signed updates. What does not: the Kubernetes API
and anything that flies.
"""
