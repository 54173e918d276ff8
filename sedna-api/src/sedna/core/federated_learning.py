"""Federated learning, which is not there yet: using it says so."""

from orbitloop.worker.absent import FederatedLearning, FederatedLearningV2

__all__ = ["FederatedLearning", "FederatedLearningV2"]
